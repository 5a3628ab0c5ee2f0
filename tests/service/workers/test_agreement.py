"""Rounds of the supervisor with workers that find different things."""

import asyncio
from typing import Any

from service.workers.agreement import Agreement
from service.workers.channel import GoneError

Versions = dict[str, str]


class Worker:
    """A worker with one model. What it reads and what it refuses is set by the test.

    Like a real one it keeps what it serves if it can't use the new file, and remembers what it was told to refuse.
    """

    def __init__(self, number: int, served: Versions, disk: Versions, refuses: Versions | None = None) -> None:
        self.number = number
        self.served, self.disk, self.refuses = served, disk, refuses or {}
        self.told: Versions = {}
        self.found: Versions = {}
        self.switches = 0
        self.gone_at: str | None = None

    async def ask(self, what: str, timeout_s: float | None = None, **content: Any) -> Any:
        await asyncio.sleep(0)
        if what == self.gone_at:
            raise GoneError("killed")
        match what:
            case "served":
                return {"oct": dict(self.served)}
            case "find" | "news" | "again":
                if content.get("retry"):
                    self.told = {}
                refused = {version: reason for version, reason in self.refuses.items() if version not in self.told}
                usable = self.disk.keys() - self.refuses.keys() - self.told.keys()
                self.found = {v: self.disk[v] if v in usable else self.served[v] for v in usable | self.kept()}
                return {"found": {"oct": {"keep": dict(self.found), "refused": refused}}}
            case "switch":
                self.served, self.switches = self.found, self.switches + 1
            case "abandon":
                self.told |= content["refused"].get("oct", {})
        return {}

    def kept(self) -> set[str]:
        return {version for version in self.disk if version in self.served}


def agreement(*workers: Worker) -> Agreement:
    found = Agreement()
    found.workers = {worker.number: worker for worker in workers}
    return found


def test_a_version_that_all_loaded_is_served_by_all() -> None:
    workers = [Worker(number, {"1": "a"}, {"1": "a", "2": "b"}) for number in range(3)]
    assert asyncio.run(agreement(*workers).load("oct")) == {"refused": []}
    assert [worker.served for worker in workers] == [{"1": "a", "2": "b"}] * 3


def test_a_version_that_one_refuses_is_served_by_none() -> None:
    good, bad = (
        Worker(n, {"1": "a"}, {"1": "a", "2": "b"}, refuses) for n, refuses in ((0, {}), (1, {"2": "no room"}))
    )
    answer = asyncio.run(agreement(good, bad).load("oct"))
    assert answer == {"refused": ["worker 1: no room"]}
    assert good.served == bad.served == {"1": "a"}


def test_new_content_that_one_refuses_replaces_nothing() -> None:
    good, bad = (Worker(n, {"1": "a"}, {"1": "b"}, refuses) for n, refuses in ((0, {}), (1, {"1": "no room"})))
    assert asyncio.run(agreement(good, bad).load("oct")) == {"refused": ["worker 1: no room"]}
    assert good.served == bad.served == {"1": "a"}


def test_files_that_differ_between_workers_are_not_served() -> None:
    one, other = Worker(0, {"1": "a"}, {"1": "b"}), Worker(1, {"1": "a"}, {"1": "c"})
    answer = asyncio.run(agreement(one, other).load("oct"))
    assert "did not find the same files" in answer["refused"][0]
    assert (one.served, other.served, one.switches) == ({"1": "a"}, {"1": "a"}, 0)


def test_a_scan_waits_for_the_next_if_one_has_not_seen_the_file_yet() -> None:
    early, late = Worker(0, {"1": "a"}, {"1": "a", "2": "b"}), Worker(1, {"1": "a"}, {"1": "a"})
    both = agreement(early, late)
    asyncio.run(both.poll())
    assert early.served == late.served == {"1": "a"}
    late.disk = early.disk
    asyncio.run(both.poll())
    assert early.served == late.served == {"1": "a", "2": "b"}


def test_a_worker_that_dies_in_a_round_holds_up_nobody() -> None:
    workers = [Worker(number, {"1": "a"}, {"1": "a", "2": "b"}) for number in range(3)]
    workers[1].gone_at = "find"
    assert asyncio.run(agreement(*workers).load("oct")) == {"refused": []}
    assert workers[0].served == workers[2].served == {"1": "a", "2": "b"}


def test_one_that_joins_brings_the_others_to_what_it_found() -> None:
    old, new = Worker(0, {"1": "a"}, {"1": "b"}), Worker(1, {"1": "b"}, {"1": "b"})
    assert asyncio.run(agreement(old).join(new)) is None
    assert old.served == new.served == {"1": "b"}


def test_one_that_can_not_serve_the_same_does_not_join() -> None:
    old, new = Worker(0, {"1": "a"}, {"1": "a"}), Worker(1, {}, {"1": "a"}, {"1": "no room"})
    both = agreement(old)
    assert asyncio.run(both.join(new)) == "it can't serve the same oct as the other workers"
    assert both.workers == {0: old}
    assert old.served == {"1": "a"}
