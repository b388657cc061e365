"""The results, printed as a text table and as the Markdown table in the README."""

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
    """One way of a peer, with its seconds and those of its floor for each round."""

    peer: Peer
    number: int
    name: str
    prompt: str
    stale: str
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Return the ratio to the floor of each round."""
        return [ours / floor for ours, floor in self.pairs]

    def microseconds(self) -> tuple[float, float]:
        """Return the median times of the way and of its floor."""
        ours, floor = (statistics.median(side) * 1e6 for side in zip(*self.pairs, strict=True))
        return ours, floor

    def slower(self, measured: "Sequence[Measured]") -> float | None:
        """Return the median over the rounds of its ratio divided by promptreg's; None without promptreg."""
        ours = next((other for other in measured if (other.name, other.prompt) == (OURS, self.prompt)), None)
        if ours is None:
            return None
        return statistics.median(theirs / mine for theirs, mine in zip(self.ratios(), ours.ratios(), strict=True))


def print_table(measured: Sequence[Measured]) -> None:
    """Print for each way its ratios to the floor, its times, the quotient with promptreg, and its staleness."""
    print(f"\n{HEADS}")
    for way in measured:
        ratios = way.ratios()
        spread = "".join(f"{ratio:9.3f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
        times = "".join(f"{time:10.2f}" for time in way.microseconds())
        print(f"{way.name:<36}{way.prompt:<8}{spread}{times}{short(way.slower(measured)):>13}  {way.stale}")


def print_page(measured: Sequence[Measured]) -> None:
    """Print the medians as in the README: a line for each way, with the prompts side by side."""
    print(f"\n{PAGE_HEADS}\n| --- | --- | --- | --- | --- |")
    peers = list(dict.fromkeys(way.peer for way in measured))
    names = dict.fromkeys(way.name for way in sorted(measured, key=lambda way: peers.index(way.peer)))
    for name in names:
        ways = {way.prompt: way for way in measured if way.name == name}
        ratios = side_by_side(ways, lambda way: statistics.median(way.ratios()))
        times = side_by_side(ways, lambda way: way.microseconds()[0])
        slower = side_by_side(ways, lambda way: way.slower(measured))
        print(f"| {name} | {ratios} | {times} | {slower} | {next(iter(ways.values())).stale} |")


def side_by_side(ways: dict[str, Measured], figure: Callable[[Measured], float | None]) -> str:
    """Return one figure of each prompt, with a dash where there is none."""
    return " / ".join(short(figure(ways[prompt]) if prompt in ways else None) for prompt in PROMPTS)


def short(figure: float | None) -> str:
    """Return a figure with its significant digits."""
    if figure is None:
        return "–"
    return f"{figure:.2f}" if figure < 10 else f"{figure:,.0f}"
