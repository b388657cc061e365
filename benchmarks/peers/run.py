"""promptreg and its alternatives, each in a separate environment, measured in one interleaved run.

It needs only Python, and a package index to install the peers from.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from environments import PEERS, pythons
from peer import Peer
from table import PROMPTS, Measured, print_page, print_table


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.environments or Path(temporary)
        installed = pythons(folder.resolve(), options.only)
        peers = [Peer(name, python, Path(temporary)) for name, python in installed.items()]
        measured = interleaved(peers, options.rounds)
        for peer in peers:
            peer.close()
    print(peers[0].machine, *(peer.package for peer in peers), sep=", ")
    print_table(measured)
    if options.page:
        print_page(measured)


def arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="ratios a row, 40 by default")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS, metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--environments", type=Path, help="a folder to keep the environments in for the next run")
    parser.add_argument("--page", action="store_true", help="also print the table that README has")
    return parser.parse_args()


def interleaved(peers: Sequence[Peer], rounds: int) -> list[Measured]:
    """Measure each way once in each round, the ways of one prompt one after the other, never two at once."""
    ways = [Measured(peer, number, *way) for peer in peers for number, way in enumerate(peer.ways)]
    ways.sort(key=lambda way: PROMPTS.index(way.prompt))
    for _ in range(rounds):
        for way in ways:
            way.pairs.append(way.peer.measure(way.number))
    return ways


if __name__ == "__main__":
    main()
