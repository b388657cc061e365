"""Run every benchmark, or those named, one after the other, and print one table."""

import sys
from collections.abc import Callable
from multiprocessing import get_context

import command
import constructs
import files
import fresh
import pauses
import postgres
import reads
import rendering
import reports
import sizes
import starts
import telemetry
import transfer
import writers
import writes
from timing import MUST_MISSED, Options, Tables, option_parser, print_machine, print_tables, read_options

PROGRAMS: dict[str, Callable[[Options], Tables]] = {
    program.__name__: program.measured
    for program in (
        reads,
        starts,
        command,
        writes,
        writers,
        sizes,
        rendering,
        constructs,
        telemetry,
        pauses,
        files,
        transfer,
        reports,
        postgres,
        fresh,
    )
}


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("programs", nargs="*", metavar="program", help=f"one of {', '.join(PROGRAMS)}; default: all")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a row misses its must goal")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.programs if name not in PROGRAMS]
    if unknown:
        parser.error(f"there is no program {', '.join(unknown)}")
    options = read_options(arguments)
    print_machine()
    tables: Tables = {}
    for name in arguments.programs or PROGRAMS:
        tables |= in_new_process(PROGRAMS[name], options)
    print_tables(tables)
    if arguments.check and any(row.mark == MUST_MISSED for rows in tables.values() for row in rows):
        sys.exit(1)


def in_new_process(measured: Callable[[Options], Tables], options: Options) -> Tables:
    """Measure in a new process, because Python's collector would traverse what earlier programs have left."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(measured(options)))
    process.start()
    sender.close()
    tables: Tables = receiver.recv()
    process.join()
    return tables


if __name__ == "__main__":
    main()
