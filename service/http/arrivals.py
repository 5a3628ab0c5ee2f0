"""Bodies of requests in memory: how many bytes over all callers, and how many may arrive at once from one caller.

A body that still arrives takes no place among the requests in flight. Only the event loop changes the state here.
"""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from service.http.problems import ProblemError
from service.settings import Settings

OFTEN = 20
"""Refusals of a caller in a second. Further ones in this second come late."""


@dataclass(slots=True)
class Account:
    """What one caller has in memory."""

    users: int = 0
    size: int = 0
    """Bytes."""
    arriving: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Body:
    """The bytes of one request, from before the first arrives until its answer is written."""

    def __init__(self, arrivals: "Arrivals", account: Account) -> None:
        self.arrivals = arrivals
        self.account = account
        self.size = 0

    def hold(self, size: int) -> None:
        """Count at least ``size`` bytes for this body.

        Raises:
            ProblemError: 503, if all bodies or those of the caller would exceed their limit.
        """
        more = size - self.size
        if more <= 0:
            return
        arrivals, account = self.arrivals, self.account
        # A body that is alone is always read, so that a small limit refuses nobody for ever.
        if arrivals.size and arrivals.size > self.size and arrivals.size + more > arrivals.limit:
            raise ProblemError.overload("too-many-bytes", f"uploads hold {arrivals.size:,} bytes of memory")
        if account.size > self.size and account.size + more > arrivals.share:
            raise ProblemError.overload("too-many-bytes", f"your uploads hold {account.size:,} bytes of memory")
        self.size += more
        arrivals.size += more
        account.size += more

    @asynccontextmanager
    async def arriving(self) -> AsyncGenerator[None]:
        """Take a turn to arrive. Beyond the limit of the caller, wait until another of its bodies has arrived.

        Raises:
            ProblemError: 503, if too many bodies of this caller wait already, or if the wait is too long.
        """
        account, arrivals = self.account, self.arrivals
        if account.arriving < arrivals.number:
            account.arriving += 1
        else:
            await arrivals.turn(account)
        try:
            yield
        finally:
            arrivals.pass_on(account)


class Arrivals:
    """The bodies in memory, with the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_upload_bytes
        self.share = math.ceil(settings.max_upload_bytes * settings.caller_share)
        self.number = settings.max_uploads_per_caller
        self.most_waiting = settings.max_requests
        self.timeout_s = settings.body_timeout_s
        self.size = 0
        """Bytes."""
        self.accounts: dict[str, Account] = {}
        self.refusals: Counter[str] = Counter()
        """Refusals of this second, by caller."""
        self.second = 0

    async def refused(self, caller: str) -> None:
        """Count a refusal, which waits if the caller is refused often: it has not heeded ``Retry-After``."""
        second = int(asyncio.get_running_loop().time())
        if second != self.second:
            self.second = second
            self.refusals.clear()
        self.refusals[caller] += 1
        if self.refusals[caller] > OFTEN:
            await asyncio.sleep(random.uniform(1, 3))

    @contextmanager
    def body(self, caller: str) -> Iterator[Body]:
        """Account for one body of a caller."""
        account = self.accounts.setdefault(caller, Account())
        account.users += 1
        body = Body(self, account)
        try:
            yield body
        finally:
            self.size -= body.size
            account.size -= body.size
            account.users -= 1
            if not account.users:
                del self.accounts[caller]

    async def turn(self, account: Account) -> None:
        if len(account.waiting) >= self.most_waiting:
            raise self.refusal(account)
        turn = asyncio.get_running_loop().create_future()
        account.waiting.append(turn)
        try:
            async with asyncio.timeout(self.timeout_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the moment of the cancellation
                self.pass_on(account)
            elif turn in account.waiting:
                account.waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self.refusal(account) from None
            raise

    def refusal(self, account: Account) -> ProblemError:
        return ProblemError.overload(
            "too-many-uploads", f"{account.arriving} of your uploads arrive, which is the limit"
        )

    def pass_on(self, account: Account) -> None:
        """Give a turn that ends to the next body of the caller."""
        while account.waiting:
            turn = account.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        account.arriving -= 1
