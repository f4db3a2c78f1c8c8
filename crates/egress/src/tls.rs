//! TLS: who is trusted, and what a handshake that fails is called.

use crate::config::{ConfigError, EgressConfig};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// The one TLS configuration. Sessions are not resumed: a ticket would tell the server that two tenants are one client, and
/// would let one go on with what another began.
pub(crate) fn client(config: &EgressConfig) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    if config.native_roots {
        let native = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(native.certs);
        if taken == 0 {
            tracing::warn!(errors = ?native.errors, "the system has no trusted certificates: no https server is trusted by them");
        }
    }
    if let Some(path) = &config.ca_file {
        let wrong = |found: &dyn std::fmt::Display| ConfigError::ca_file(path, found);
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        if roots.len() == before {
            return Err(wrong(&"it has no certificate"));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| ConfigError { key: "egress".to_owned(), takes: format!("a build with TLS: {error}") })?;
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    client.resumption = Resumption::disabled();
    Ok(Arc::new(client))
}

/// What is wrong with the server's TLS, for the author.
pub(crate) fn wrong(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, NoCertificatesPresented, PeerIncompatible};
    match error {
        InvalidCertificate(error) => certificate(error),
        NoCertificatesPresented => "the server shows no certificate",
        InvalidMessage(_) => "the server does not speak TLS",
        PeerIncompatible(_) | AlertReceived(_) | rustls::Error::NoApplicationProtocol => {
            "the server and this client have no version or cipher of TLS in common, or it ended the handshake"
        }
        _ => "the server's TLS is not as it must be",
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server's certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet"
        }
        CertificateError::UnknownIssuer => "the server's certificate is from an issuer that is not trusted",
        CertificateError::Revoked => "the server's certificate is revoked",
        _ => "the server's certificate is not as it must be",
    }
}
