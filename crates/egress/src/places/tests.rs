use super::*;

fn slug(name: &str) -> Slug {
    name.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_has_no_place_waits_so_long_and_no_longer() {
    let places = Places::new(3, 2);
    let wait = Duration::from_secs(1);
    let (acme, other) = (slug("acme"), slug("other"));
    let first = places.take(&acme, wait).await.ok().unwrap();
    let _second = places.take(&acme, wait).await.ok().unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(places.take(&acme, wait).await.err(), Some(Full::Tenant));
    assert_eq!(began.elapsed(), wait);
    let third = places.take(&other, Duration::ZERO).await.ok().unwrap();
    assert_eq!(places.take(&other, Duration::ZERO).await.err(), Some(Full::All));
    drop(first);
    let fourth = places.take(&other, Duration::ZERO).await.ok().unwrap();
    drop((third, fourth));
    assert_eq!(places.tenants(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first_and_nobody_overtakes() {
    let places = Places::new(1, 1);
    let held = places.take(&slug("a"), Duration::ZERO).await.ok().unwrap();
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    for name in ["b", "c", "d"] {
        let (places, told) = (places.clone(), told.clone());
        tokio::spawn(async move {
            let _place = places.take(&slug(name), Duration::from_secs(9)).await.ok().unwrap();
            told.send(name).unwrap();
        });
        tokio::task::yield_now().await;
    }
    drop(held);
    assert_eq!(places.take(&slug("e"), Duration::ZERO).await.err(), Some(Full::All));
    for name in ["b", "c", "d"] {
        assert_eq!(order.recv().await, Some(name));
    }
}

#[tokio::test(start_paused = true)]
async fn one_tenant_does_not_hold_up_the_others_by_its_queue() {
    // It has all of its share, and a hundred more that wait: they wait for their tenant, and not in the line of all.
    let places = Places::new(4, 2);
    let acme = slug("acme");
    let held = [
        places.take(&acme, Duration::ZERO).await.ok().unwrap(),
        places.take(&acme, Duration::ZERO).await.ok().unwrap(),
    ];
    for _ in 0..100 {
        let (places, acme) = (places.clone(), acme.clone());
        tokio::spawn(async move { places.take(&acme, Duration::from_secs(9)).await.is_ok() });
    }
    tokio::task::yield_now().await;
    assert!(places.take(&slug("other"), Duration::ZERO).await.is_ok());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_nothing_behind() {
    let places = Places::new(1, 1);
    let held = places.take(&slug("a"), Duration::ZERO).await.ok().unwrap();
    {
        let name = slug("b");
        let waiting = places.take(&name, Duration::from_secs(9));
        tokio::select! {
            biased;
            _ = waiting => panic!("there is no place"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(places.tenants(), 1);
    drop(held);
    assert_eq!(places.tenants(), 0);
    assert!(places.take(&slug("c"), Duration::ZERO).await.is_ok());
}
