"""What was measured, as a table for people and as the one in README."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from peer import Peer

PROMPTS = ("short", "medium", "chat")
OURS = "promptreg"
COLUMNS = f"{'median':>9}{'min':>9}{'max':>9}{'µs':>10}{'floor µs':>10}{'× promptreg':>13}"
HEADS = f"{'peer':<36}{'prompt':<8}{COLUMNS}  stale"
PAGE_HEADS = f"| way | ratio to the floor: {' / '.join(PROMPTS)} | µs | times promptreg | stale |"


@dataclass(slots=True)
class Measured:
    """One way of a peer, and the seconds of it and of its floor, round by round."""

    peer: Peer
    number: int
    name: str
    prompt: str
    stale: str
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Give each round's ratio to the floor."""
        return [ours / floor for ours, floor in self.pairs]

    def microseconds(self) -> tuple[float, float]:
        """Give the median times of it and of its floor."""
        ours, floor = (statistics.median(side) * 1e6 for side in zip(*self.pairs, strict=True))
        return ours, floor

    def slower(self, measured: "Sequence[Measured]") -> float | None:
        """Give how many times promptreg's ratio its own is, round by round: the median; None without promptreg."""
        ours = next((other for other in measured if (other.name, other.prompt) == (OURS, self.prompt)), None)
        if ours is None:
            return None
        return statistics.median(theirs / mine for theirs, mine in zip(self.ratios(), ours.ratios(), strict=True))


def print_table(measured: Sequence[Measured]) -> None:
    """Print each way's ratios to the floor, its times, how many times slower than promptreg, how stale."""
    print(f"\n{HEADS}")
    for way in measured:
        ratios = way.ratios()
        spread = "".join(f"{ratio:9.3f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
        times = "".join(f"{time:10.2f}" for time in way.microseconds())
        print(f"{way.name:<36}{way.prompt:<8}{spread}{times}{short(way.slower(measured)):>13}  {way.stale}")


def print_page(measured: Sequence[Measured]) -> None:
    """Print the medians as README has them: a line for each way, its prompts side by side."""
    print(f"\n{PAGE_HEADS}\n| --- | --- | --- | --- | --- |")
    peers = list(dict.fromkeys(way.peer for way in measured))
    names = dict.fromkeys(way.name for way in sorted(measured, key=lambda way: peers.index(way.peer)))
    for name in names:
        found = {way.prompt: way for way in measured if way.name == name}
        ratios = abreast(found, lambda way: statistics.median(way.ratios()))
        times = abreast(found, lambda way: way.microseconds()[0])
        slower = abreast(found, lambda way: way.slower(measured))
        print(f"| {name} | {ratios} | {times} | {slower} | {next(iter(found.values())).stale} |")


def abreast(found: dict[str, Measured], figure: Callable[[Measured], float | None]) -> str:
    """Give one figure of each prompt, with a dash where there is none."""
    return " / ".join(short(figure(found[prompt]) if prompt in found else None) for prompt in PROMPTS)


def short(figure: float | None) -> str:
    """Give a figure with what of it means anything."""
    if figure is None:
        return "–"
    return f"{figure:.2f}" if figure < 10 else f"{figure:,.0f}"
