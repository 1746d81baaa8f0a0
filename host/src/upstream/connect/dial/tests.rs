use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::upstream::connect::clock::testing::{Manual, run};

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "fd00::1";

fn answer(texts: &[&str]) -> Arc<Answer> {
    Answer::following(texts.iter().map(|text| text.parse().unwrap()), None)
}

/// What became of a race: who won and when, and who was asked when, in milliseconds.
type Outcome = (Result<(String, u128), io::ErrorKind>, Vec<(String, u128)>);

/// Has addresses connect after so many milliseconds, or fail after the negative of it.
async fn outcome(
    clock: &Rc<Manual>,
    answer: &Answer,
    turn: usize,
    after: &[(&str, i64)],
) -> Outcome {
    let (asked, began) = (RefCell::new(Vec::new()), clock.now());
    let connect = async |ip: IpAddr| {
        let ip = ip.to_string();
        let time = (clock.now() - began).as_millis();
        asked.borrow_mut().push((ip.clone(), time));
        let (_, after) = *after.iter().find(|(text, _)| *text == ip).unwrap();
        clock
            .sleep(Duration::from_millis(after.unsigned_abs()))
            .await;
        if after < 0 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(ip)
    };
    let result = race(answer, turn, clock, connect).await;
    let result = result.map(|ip| (ip, (clock.now() - began).as_millis()));
    (result.map_err(|error| error.kind()), asked.into_inner())
}

fn asked(list: &[(&str, u128)]) -> Vec<(String, u128)> {
    list.iter()
        .map(|(ip, at)| ((*ip).to_owned(), *at))
        .collect()
}

#[test]
fn who_connects_in_time_is_the_only_one_that_is_asked() {
    run(async |clock| {
        let found = outcome(&clock, &answer(&[A, B, C]), 1, &[(B, 249)]).await;
        assert_eq!(found, (Ok((B.to_owned(), 249)), asked(&[(B, 0)])));
    });
}

#[test]
fn a_failure_gives_the_next_one_its_turn_at_once() {
    run(async |clock| {
        let found = outcome(&clock, &answer(&[A, B, C]), 0, &[(A, -3), (C, -4), (B, 5)]).await;
        assert_eq!(
            found,
            (Ok((B.to_owned(), 12)), asked(&[(A, 0), (C, 3), (B, 7)]))
        );
    });
}

#[test]
fn silence_gives_it_its_turn_after_a_while_and_who_is_first_wins() {
    run(async |clock| {
        let found = outcome(
            &clock,
            &answer(&[A, B, C]),
            0,
            &[(A, 10_000), (C, 400), (B, 100)],
        )
        .await;
        assert_eq!(
            found,
            (
                Ok((B.to_owned(), 600)),
                asked(&[(A, 0), (C, 250), (B, 500)])
            )
        );
        let found = outcome(
            &clock,
            &answer(&[A, B, C]),
            0,
            &[(A, 300), (C, 400), (B, 100)],
        )
        .await;
        assert_eq!(found, (Ok((A.to_owned(), 300)), asked(&[(A, 0), (C, 250)])));
    });
}

#[test]
fn who_failed_or_was_overtaken_comes_last_the_next_time() {
    run(async |clock| {
        let answer = answer(&[A, B, C]);
        outcome(&clock, &answer, 0, &[(A, 10_000), (C, -1), (B, 1)])
            .await
            .0
            .unwrap();
        // B would be the second at this turn.
        let found = outcome(&clock, &answer, 0, &[(B, -1), (A, -1), (C, -1)]).await;
        assert_eq!(
            found,
            (
                Err(io::ErrorKind::ConnectionRefused),
                asked(&[(B, 0), (A, 1), (C, 2)])
            )
        );
    });
}

#[test]
fn who_is_given_up_for_lack_of_time_comes_last_as_well() {
    run(async |clock| {
        let answer = answer(&[A, B]);
        let silent = [(A, 10_000), (B, 10_000)];
        let race = outcome(&clock, &answer, 0, &silent);
        assert!(
            clock
                .within(Duration::from_millis(300), race)
                .await
                .is_none()
        );
        let found = outcome(&clock, &answer, 0, &[(B, 1)]).await;
        assert_eq!(found.0, Ok((B.to_owned(), 1)));
    });
}

#[test]
fn without_an_address_there_is_no_connection() {
    run(async |clock| {
        let found = outcome(&clock, &answer(&[]), 3, &[]).await;
        assert_eq!(found, (Err(io::ErrorKind::NotFound), Vec::new()));
    });
}
