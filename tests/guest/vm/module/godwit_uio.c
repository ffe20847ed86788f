// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A vGPU's function as a UIO device, for the program that the tests run in a virtual machine:
 * uio_pci_generic knows INTx only, and the function has MSI-X only.
 *
 * Every MSI-X vector counts as one event. Map 0 is memory that the device reaches by DMA, with its
 * bus address; the BARs are mapped through sysfs.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uio_driver.h>

#define GODWIT_VENDOR 0x1209
#define GODWIT_DEVICE 0x6d67
#define GODWIT_DMA_BYTES (4 << 20)

struct godwit {
	struct uio_info info;
	struct pci_dev *pdev;
	void *dma;
	dma_addr_t bus;
	int vectors;
};

static irqreturn_t godwit_interrupt(int irq, void *data)
{
	struct godwit *godwit = data;

	uio_event_notify(&godwit->info);
	return IRQ_HANDLED;
}

static void godwit_free_interrupts(struct godwit *godwit, int count)
{
	int vector;

	for (vector = 0; vector < count; vector++)
		free_irq(pci_irq_vector(godwit->pdev, vector), godwit);
	pci_free_irq_vectors(godwit->pdev);
}

static int godwit_request_interrupts(struct godwit *godwit)
{
	int vector, error;
	int wanted = pci_msix_vec_count(godwit->pdev);

	if (wanted < 0)
		return wanted;
	godwit->vectors = pci_alloc_irq_vectors(godwit->pdev, wanted, wanted, PCI_IRQ_MSIX);
	if (godwit->vectors < 0)
		return godwit->vectors;
	for (vector = 0; vector < godwit->vectors; vector++) {
		error = request_irq(pci_irq_vector(godwit->pdev, vector), godwit_interrupt, 0,
				    "godwit", godwit);
		if (error) {
			godwit_free_interrupts(godwit, vector);
			return error;
		}
	}
	return 0;
}

static int godwit_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct godwit *godwit;
	int error;

	godwit = devm_kzalloc(&pdev->dev, sizeof(*godwit), GFP_KERNEL);
	if (!godwit)
		return -ENOMEM;
	godwit->pdev = pdev;
	error = pcim_enable_device(pdev);
	if (error)
		return error;
	error = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (error)
		return error;
	pci_set_master(pdev);
	godwit->dma = dmam_alloc_coherent(&pdev->dev, GODWIT_DMA_BYTES, &godwit->bus, GFP_KERNEL);
	if (!godwit->dma)
		return -ENOMEM;

	godwit->info.name = "godwit";
	godwit->info.version = "1";
	godwit->info.irq = UIO_IRQ_CUSTOM;
	godwit->info.mem[0].name = "dma";
	godwit->info.mem[0].addr = godwit->bus;
	godwit->info.mem[0].size = GODWIT_DMA_BYTES;
	godwit->info.mem[0].memtype = UIO_MEM_PHYS;
	error = uio_register_device(&pdev->dev, &godwit->info);
	if (error)
		return error;
	error = godwit_request_interrupts(godwit);
	if (error) {
		uio_unregister_device(&godwit->info);
		return error;
	}
	pci_set_drvdata(pdev, godwit);
	return 0;
}

static void godwit_remove(struct pci_dev *pdev)
{
	struct godwit *godwit = pci_get_drvdata(pdev);

	godwit_free_interrupts(godwit, godwit->vectors);
	uio_unregister_device(&godwit->info);
	pci_clear_master(pdev);
}

static const struct pci_device_id godwit_ids[] = {
	{ PCI_DEVICE(GODWIT_VENDOR, GODWIT_DEVICE) },
	{},
};
MODULE_DEVICE_TABLE(pci, godwit_ids);

static struct pci_driver godwit_driver = {
	.name = "godwit_uio",
	.id_table = godwit_ids,
	.probe = godwit_probe,
	.remove = godwit_remove,
};
module_pci_driver(godwit_driver);

MODULE_DESCRIPTION("A vGPU's function as a UIO device");
MODULE_LICENSE("Dual MIT/GPL");
