//! Who somebody is by a certificate, in words.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer as _, GeneralName};

/// Characters of a name that are shown.
const SHOWN_MAX: usize = 200;

/// The subject of a certificate; where it has none, the first of its other names. The words are the
/// authority's, and no line of a log may end in them.
pub(super) fn of(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return "a certificate that cannot be read".into();
    };
    let mut name = certificate.subject().to_string();
    if name.is_empty()
        && let Ok(Some(names)) = certificate.subject_alternative_name()
    {
        name = match names.value.general_names.first() {
            Some(GeneralName::DNSName(name)) => (*name).to_owned(),
            Some(name) => name.to_string(),
            None => String::new(),
        };
    }
    if name.is_empty() {
        let serial = certificate.raw_serial_as_string();
        return format!("the certificate {}", shown(&serial));
    }
    shown(&name)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};

    fn identity(name: Option<&str>, dns: &[&str]) -> String {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.serial_number = Some(SerialNumber::from(0x1234_u64));
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        of(certificate.der())
    }

    #[test]
    fn a_certificate_is_called_by_what_it_names() {
        assert_eq!(identity(Some("alice"), &["a.example"]), "CN=alice");
        assert_eq!(identity(None, &["a.example", "b.example"]), "a.example");
        assert_eq!(identity(None, &[]), "the certificate 12:34");
        assert_eq!(of(&CertificateDer::from(vec![0x30])), "a certificate that cannot be read");
    }

    #[test]
    fn a_name_is_a_part_of_a_line_and_not_a_long_one() {
        let shown = identity(Some("a\nuid 0 (pid 1)"), &[]);
        assert_eq!(shown, "CN=a\\nuid 0 (pid 1)");
        assert_eq!(identity(Some(&"x".repeat(5_000)), &[]).len(), SHOWN_MAX);
    }
}
