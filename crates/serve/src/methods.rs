//! The methods that a server has, from its descriptors: what may be a label of a metric is known before the first call.

use crate::stack::CODES;
use opentelemetry::KeyValue;
use prost::Message as _;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicI64},
};

/// One method, with the attributes of its metrics made once.
#[derive(Debug)]
pub(crate) struct Method {
    /// `sluice.executor.v1.ExecutionService/Execute`.
    pub(crate) name: Arc<str>,
    /// Probes must be answered when everything else is refused, or an overload looks like a death.
    pub(crate) is_probe: bool,
    /// The calls whose answer has not ended.
    pub(crate) in_flight: AtomicI64,
    /// The attributes of a finished call, by its code.
    pub(crate) by_code: [Box<[KeyValue]>; CODES.len()],
    /// The attributes of a call that goes on.
    pub(crate) attributes: Box<[KeyValue]>,
}

impl Method {
    fn new(service: &str, method: &str) -> Method {
        let name: Arc<str> = format!("{service}/{method}").into();
        // OpenTelemetry's conventions want the full name; they have no service apart from it.
        let attributes = vec![KeyValue::new("rpc.system.name", "grpc"), KeyValue::new("rpc.method", Arc::clone(&name))];
        let by_code = std::array::from_fn(|code| {
            let code = KeyValue::new("rpc.response.status_code", CODES[code]);
            attributes.iter().cloned().chain([code]).collect()
        });
        let is_probe = service == "grpc.health.v1.Health";
        Method { name, is_probe, in_flight: AtomicI64::new(0), by_code, attributes: attributes.into() }
    }
}

/// The methods of a server by path. A path that is not here is counted as one method `unknown`: callers choose paths, and
/// must not choose how many labels there are.
#[derive(Debug)]
pub(crate) struct Methods {
    by_path: HashMap<Box<str>, Arc<Method>>,
    unknown: Arc<Method>,
    services: Vec<String>,
}

impl Methods {
    /// The methods in these encoded file descriptor sets.
    pub(crate) fn new(descriptors: &[&[u8]]) -> Result<Methods, prost::DecodeError> {
        let (mut by_path, mut services) = (HashMap::new(), Vec::new());
        for encoded in descriptors {
            for file in prost_types::FileDescriptorSet::decode(*encoded)?.file {
                for service in &file.service {
                    let full = match file.package() {
                        "" => service.name().to_owned(),
                        package => format!("{package}.{}", service.name()),
                    };
                    for method in &service.method {
                        let path = format!("/{full}/{}", method.name()).into();
                        by_path.insert(path, Arc::new(Method::new(&full, method.name())));
                    }
                    services.push(full);
                }
            }
        }
        services.sort();
        services.dedup();
        Ok(Methods { by_path, unknown: Arc::new(Method::new("unknown", "unknown")), services })
    }

    pub(crate) fn at(&self, path: &str) -> &Arc<Method> {
        self.by_path.get(path).unwrap_or(&self.unknown)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.by_path.values().chain([&self.unknown])
    }

    /// The full names of the services, sorted.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }
}
