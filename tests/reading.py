"""`python -m tests.reading TARGET` answers each name with the prompt's template, and whether it is stale."""

import json
import sys

from promptreg import Registry

with Registry(sys.argv[1], busy_timeout=1) as registry:
    for line in sys.stdin:
        prompt = registry.get(line.strip())
        print(json.dumps([prompt.template, prompt.stale]), flush=True)
