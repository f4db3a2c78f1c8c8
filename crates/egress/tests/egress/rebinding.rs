//! Names that change their mind.

use crate::support::*;
use sluice_model::http::HttpFailure;
use std::net::{IpAddr, SocketAddr};

#[tokio::test]
async fn a_name_is_resolved_once_a_connection_which_goes_to_the_address_that_was_checked() {
    let server =
        Server::answering(|_| "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_owned()).await;
    let world = world(&config(&[]));
    let public: IpAddr = "93.184.215.14".parse().unwrap();
    let detour = (SocketAddr::new(public, 443), SocketAddr::new(LOOPBACK, server.port));
    world.dials.detour.lock().unwrap().insert(detour.0, detour.1);
    world.names.set("api.example.com", vec![Ok(vec![public]), Ok(vec![LOOPBACK])]);

    assert_eq!(ask(&world, get("https://api.example.com/")).await.0.unwrap().body, b"ok");
    assert_eq!(world.dials.dialed(), [SocketAddr::new(public, 443)]);
    assert_eq!(world.names.asked().len(), 1);

    // The second connection asks again, is told loopback, and is not made.
    let error = ask(&world, get("https://api.example.com/")).await.0.unwrap_err();
    assert_eq!(error.failure, HttpFailure::AddressRefused);
    assert_eq!(error.message, "api.example.com leads to 127.0.0.1, which is a loopback address");
    assert_eq!(world.dials.dialed().len(), 1);
    assert_eq!(world.names.asked().len(), 2);
}

#[tokio::test]
async fn a_redirect_to_the_same_name_is_checked_anew() {
    let server = Server::answering(|_| {
        "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n".to_owned()
    })
    .await;
    let world = world(&config(&[]));
    let public: IpAddr = "2606:4700::1111".parse().unwrap();
    world.dials.detour.lock().unwrap().insert(SocketAddr::new(public, 443), SocketAddr::new(LOOPBACK, server.port));
    world.names.set("api.example.com", vec![Ok(vec![public]), Ok(vec!["::1".parse().unwrap()])]);
    let (answer, attempts) = ask(&world, get("https://api.example.com/")).await;
    assert_eq!(answer.unwrap_err().failure, HttpFailure::AddressRefused);
    assert_eq!(
        seen(&attempts),
        [("api.example.com", Some(302), None), ("api.example.com", None, Some(HttpFailure::AddressRefused))]
    );
    assert_eq!(world.dials.dialed(), [SocketAddr::new(public, 443)]);
}

#[tokio::test]
async fn addresses_are_tried_in_turn_until_one_answers() {
    let server = Server::answering(|_| ok("third")).await;
    let world = world(&config(&[]));
    let of = |text: &str| -> IpAddr { text.parse().unwrap() };
    let all = [of("93.184.215.1"), of("93.184.215.2"), of("2606:4700::1")];
    world.dials.detour.lock().unwrap().insert(SocketAddr::new(all[1], 443), SocketAddr::new(LOOPBACK, server.port));
    world.names.set("api.example.com", vec![Ok(all.to_vec())]);
    assert_eq!(ask(&world, get("https://api.example.com/")).await.0.unwrap().body, b"third");
    let dialed: Vec<IpAddr> = world.dials.dialed().iter().map(SocketAddr::ip).collect();
    assert_eq!(dialed, [all[0], all[2], all[1]]);
}
