// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What the guest program needs of a kernel to drive a vGPU: the function enabled, its MSI-X
 * vectors counted, and a buffer whose bus address is known.
 *
 * An interrupt of any vector counts as an event of the UIO device, so that reading `/dev/uio0`
 * waits for one. Two files beside the function's BARs in sysfs have the rest:
 *
 *   godwit_vectors  what each vector has counted, as 32-bit words, read in one go
 *   godwit_dma      the buffer, to be mapped; its bus address is in `godwit_dma_address`
 *
 * They are files, and no maps of the UIO device, since those have no length of their own.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uio_driver.h>

/* Vectors of a vGPU. */
#define VECTORS 32
/* Bytes of the buffer: what the page allocator gives in one piece. */
#define DMA_BYTES (4 << 20)

struct godwit {
	struct uio_info uio;
	struct pci_dev *pdev;
	void *dma;
	dma_addr_t dma_address;
	struct godwit_vector {
		struct godwit *owner;
		atomic_t count;
	} vectors[VECTORS];
};

static irqreturn_t godwit_interrupt(int irq, void *data)
{
	struct godwit_vector *vector = data;

	/* The count before the event: who is woken sees it. */
	atomic_inc(&vector->count);
	uio_event_notify(&vector->owner->uio);
	return IRQ_HANDLED;
}

static ssize_t godwit_vectors_read(struct file *file, struct kobject *kobj,
				   struct bin_attribute *attr, char *buffer, loff_t at,
				   size_t count)
{
	struct godwit *godwit = dev_get_drvdata(kobj_to_dev(kobj));
	u32 counts[VECTORS];
	int vector;

	for (vector = 0; vector < VECTORS; vector++)
		counts[vector] = atomic_read(&godwit->vectors[vector].count);
	/* The caller keeps `at` and `count` within the size below. */
	memcpy(buffer, (char *)counts + at, count);
	return count;
}
static BIN_ATTR(godwit_vectors, 0400, godwit_vectors_read, NULL, VECTORS * sizeof(u32));

static int godwit_dma_mmap(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
			   struct vm_area_struct *vma)
{
	struct godwit *godwit = dev_get_drvdata(kobj_to_dev(kobj));

	/* Checks offset and length. */
	return dma_mmap_coherent(&godwit->pdev->dev, vma, godwit->dma, godwit->dma_address,
				 DMA_BYTES);
}
static struct bin_attribute bin_attr_godwit_dma = {
	.attr = { .name = "godwit_dma", .mode = 0600 },
	.size = DMA_BYTES,
	.mmap = godwit_dma_mmap,
};

static ssize_t godwit_dma_address_show(struct device *dev, struct device_attribute *attr,
				       char *buffer)
{
	struct godwit *godwit = dev_get_drvdata(dev);

	return sysfs_emit(buffer, "%pad\n", &godwit->dma_address);
}
static DEVICE_ATTR_RO(godwit_dma_address);

static struct attribute *godwit_attrs[] = { &dev_attr_godwit_dma_address.attr, NULL };
static struct bin_attribute *godwit_bin_attrs[] = {
	&bin_attr_godwit_vectors,
	&bin_attr_godwit_dma,
	NULL,
};
static const struct attribute_group godwit_group = {
	.attrs = godwit_attrs,
	.bin_attrs = godwit_bin_attrs,
};
__ATTRIBUTE_GROUPS(godwit);

static int godwit_request_vectors(struct pci_dev *pdev, struct godwit *godwit)
{
	int vector, error;

	error = pci_alloc_irq_vectors(pdev, VECTORS, VECTORS, PCI_IRQ_MSIX);
	if (error < 0)
		return dev_err_probe(&pdev->dev, error, "not all MSI-X vectors are to be had\n");
	for (vector = 0; vector < VECTORS; vector++) {
		godwit->vectors[vector].owner = godwit;
		error = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, vector),
					 godwit_interrupt, 0, "godwit",
					 &godwit->vectors[vector]);
		if (error)
			return dev_err_probe(&pdev->dev, error, "no handler for vector %d\n",
					     vector);
	}
	return 0;
}

static int godwit_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct godwit *godwit;
	int error;

	godwit = devm_kzalloc(dev, sizeof(*godwit), GFP_KERNEL);
	if (!godwit)
		return -ENOMEM;
	godwit->pdev = pdev;
	godwit->uio.name = "godwit";
	godwit->uio.version = "1";
	godwit->uio.irq = UIO_IRQ_CUSTOM;
	pci_set_drvdata(pdev, godwit);

	/* Managed: whatever is enabled here is disabled again when the device goes. */
	error = pcim_enable_device(pdev);
	if (error)
		return dev_err_probe(dev, error, "cannot enable the function\n");
	error = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (error)
		return dev_err_probe(dev, error, "no addresses of 64 bits\n");
	godwit->dma = dmam_alloc_coherent(dev, DMA_BYTES, &godwit->dma_address, GFP_KERNEL);
	if (!godwit->dma)
		return dev_err_probe(dev, -ENOMEM, "no buffer of %d bytes\n", DMA_BYTES);
	/* Before the vectors, whose handlers tell it of events. */
	error = devm_uio_register_device(dev, &godwit->uio);
	if (error)
		return dev_err_probe(dev, error, "cannot register with UIO\n");
	error = godwit_request_vectors(pdev, godwit);
	if (error)
		return error;
	pci_set_master(pdev);
	return 0;
}

static const struct pci_device_id godwit_ids[] = {
	{ PCI_DEVICE(GODWIT_VENDOR, GODWIT_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, godwit_ids);

static struct pci_driver godwit_driver = {
	.name = "godwit_uio",
	.id_table = godwit_ids,
	.probe = godwit_probe,
	.dev_groups = godwit_groups,
};
module_pci_driver(godwit_driver);

MODULE_DESCRIPTION("Interrupts and a DMA buffer of a vGPU for a program");
MODULE_LICENSE("Dual MIT/GPL");
