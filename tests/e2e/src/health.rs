//! A server of gRPC with the standard health service, by tonic. Must not: know the appliance.

use std::io;
use std::net::SocketAddr;

use tonic_health::ServingStatus;

/// Until it is killed.
pub fn serve(address: SocketAddr, service: &str, serving: bool) -> io::Result<()> {
    let status = match serving {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status(service, status).await;
        let server = tonic::transport::Server::builder().add_service(health);
        server.serve(address).await.map_err(io::Error::other)
    })
}
