"""What a cloud tells of its servers or volumes by itself.  It ends a wait early, and nothing else: the waiter looks then.

So nobody has to be believed.  A message that is lost costs time, one too many costs a look.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_AGAIN = 1.0
"""Seconds after which a look that came at once, and found nothing new, is made again: a service may answer from a copy."""


class Watch:
    """One waiter's, of one thing."""

    def __init__(self, changes: "Changes") -> None:
        self._changes = changes
        self._told = threading.Event()
        self._look_again = False
        self._waits_for_word = False

    def rest(self, interval: float) -> float:
        """Seconds to wait for word until the next look, for one who would look again after `interval` by himself."""
        if self._look_again:
            self._look_again = False
            return LOOK_AGAIN
        self._waits_for_word = self._changes.trusted
        return max(interval, self._changes.longest_rest) if self._waits_for_word else interval

    def wait(self, seconds: float) -> bool:
        """Whether it was told of, within the time or since the last wait."""
        if not self._told.wait(seconds):
            return False
        self._told.clear()
        self._look_again, self._waits_for_word = True, False
        return True

    def tell(self) -> None:
        self._told.set()

    @property
    def expects_word(self) -> bool:
        return self._changes.trusted

    @property
    def missed_word(self) -> bool:
        """Whether the last look was made without, though word was expected."""
        return self._waits_for_word


class Changes:
    """Of all things of one kind.  Trusted from the first word that somebody waited for, until word is missed once."""

    def __init__(self, longest_rest: float = 15.0) -> None:
        """`longest_rest`: seconds between two looks at a thing while word of it is expected."""
        self.longest_rest = longest_rest
        self.trusted = False
        self._lock = threading.Lock()
        self._watches: defaultdict[str, list[Watch]] = defaultdict(list)

    def __len__(self) -> int:
        """Things that somebody waits for."""
        return len(self._watches)

    @contextmanager
    def watch(self, key: str) -> Iterator[Watch]:
        """Begun before the first look, it misses nothing; left in peace, it says that the last look found what was waited for."""
        mine = Watch(self)
        with self._lock:
            self._watches[key].append(mine)
        try:
            yield mine
            if mine.missed_word:
                self.give_up()
        finally:
            with self._lock:
                self._watches[key].remove(mine)
                if not self._watches[key]:
                    del self._watches[key]

    def tell(self, key: str) -> None:
        """The thing may have changed.  Of what nobody waits for nothing is kept."""
        with self._lock:
            waiting = list(self._watches.get(key, ()))
            self.trusted = self.trusted or bool(waiting)
        for watch in waiting:
            watch.tell()

    def give_up(self) -> None:
        """No word is expected any more, by those who wait just now neither: they look at once."""
        with self._lock:
            if not self.trusted:
                return
            self.trusted = False
            waiting = [watch for watches in self._watches.values() for watch in watches]
        for watch in waiting:
            watch.tell()
