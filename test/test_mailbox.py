"""The one-slot mailbox between the executor and the worker."""

import threading
import time

from hybrik_ros.node.mailbox import Mailbox


def test_newest_wins_and_replaced_are_counted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for item in range(5):
        mailbox.put(item)
    assert mailbox.take() == 4
    assert mailbox.replaced == 4


def test_take_waits_for_an_item() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take()))
    taker.start()
    time.sleep(0.05)
    assert not taken
    mailbox.put('image')
    taker.join(5)
    assert taken == ['image']


def test_closing_wakes_the_taker_and_drops_what_lies_there() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take()))
    taker.start()
    mailbox.close()
    taker.join(5)
    assert taken == [None]
    mailbox.put('late')
    assert mailbox.take() is None


def test_nothing_is_taken_twice_or_lost_uncounted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int] = []

    def work() -> None:
        while (item := mailbox.take()) is not None:
            taken.append(item)

    taker = threading.Thread(target=work)
    taker.start()
    for item in range(1, 20001):
        mailbox.put(item)
    while taken[-1:] != [20000]:
        time.sleep(0.001)
    mailbox.close()
    taker.join(5)
    assert taken == sorted(set(taken))
    assert len(taken) + mailbox.replaced == 20000
