"""The longest pause of another thread while a hostile template renders, against that during a plain Python loop.

Python switches threads every few milliseconds, but never in the middle of one call into C. So the longest pause of a
thread that only records the time is the longest such call plus the noise of the machine. The loop and the template
run for the same time, up to the template's deadline.
"""

import sys
from threading import Event, Thread
from time import monotonic

from timing import Measured, Options, Pair, Tables, run

from promptreg import Registry, RenderLimitError, RenderLimits
from promptreg.prompt import Prompt

ROUNDS = 8
SECONDS = 0.25
SECONDS_A_ROUND = 0.05  # the limit of a short run
VALUES = {
    "text": "word " * 100_000,
    "page": "word " * 10_000,
    "items": list(range(9_000)),
    "words": ["word"] * 9_000,
    "pairs": [(number % 7, number) for number in range(4_000)],
}
FOREVER = "{% for a in range(100000) %}{% for b in range(100000) %}"
END = "{% endfor %}{% endfor %}"
TEMPLATES = {
    "silent loops": f"{FOREVER}{END}",
    "text times a number": f"{FOREVER}{{% set x = 'ab' * 100000 %}}{END}",
    "replace": f"{FOREVER}{{% set x = text | replace('w', 'v') %}}{END}",
    "split, joined": f"{FOREVER}{{% set x = text.split() | join('-') %}}{END}",
    "wordwrap, indent": f"{FOREVER}{{% set x = page | wordwrap(10) | indent(3) %}}{END}",
    "sort": f"{FOREVER}{{% set x = items | sort(reverse=true) %}}{END}",
    "unique, groupby": f"{FOREVER}{{% set x = words | unique | list %}}{{% set y = pairs | groupby(0) %}}{END}",
    "tojson": f"{FOREVER}{{% set x = items | tojson(indent=2) %}}{END}",
    "in, count": f"{FOREVER}{{% set x = 'z' in text %}}{{% set y = text.count('rdw') %}}{END}",
    "powers": f"{FOREVER}{{% set x = 3 ** 160 %}}{{% set y = x // 7 %}}{END}",
    "macros, sum": f"{{% macro m() %}}{{{{ items | sum }}}}{{% endmacro %}}{FOREVER}{{% set x = m() %}}{END}",
}


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    limits = RenderLimits(seconds=min(SECONDS, rounds * SECONDS_A_ROUND), fuel=10**9)
    with Registry(":memory:", render_limits=limits) as registry:
        prompts = {name: registry.create(f"p-{number}", text) for number, (name, text) in enumerate(TEMPLATES.items())}
        results = [{name: measure(prompt, limits) for name, prompt in prompts.items()} for _ in range(rounds)]
    rows = [Measured(name, [pairs[name] for pairs in results]) for name in TEMPLATES]
    return {"longest pause of another thread / a Python loop's": rows}


def measure(prompt: Prompt, limits: RenderLimits) -> Pair:
    """Return the longest pause while a prompt renders, and while a loop runs."""
    with Pauses() as ours:
        render(prompt)
    with Pauses() as floor:
        loop(limits.seconds)
    return ours.longest, floor.longest


def render(prompt: Prompt) -> None:
    """Render a prompt that runs until its deadline, and exit if it ends otherwise."""
    try:
        prompt.render({name: value for name, value in VALUES.items() if name in prompt.template})
    except RenderLimitError as error:
        if error.details["limit"] == "seconds":
            return
    sys.exit(f"{prompt.name} does not run until its deadline.")


def loop(seconds: float) -> None:
    """Run Python code for as long as a render may."""
    end = monotonic() + seconds
    while monotonic() < end:
        pass


class Pauses:
    """A thread that records the time in a loop, and the longest interval between two records."""

    def __enter__(self) -> "Pauses":
        self.longest = 0.0
        self._ends = Event()
        self._thread = Thread(target=self._record)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _record(self) -> None:
        last = monotonic()
        while not self._ends.is_set():
            now = monotonic()
            self.longest, last = max(self.longest, now - last), now


if __name__ == "__main__":
    run(__doc__, measured)
