"""The tokenizer of somaya 1.0.5, in a process of its own: a line with a piece of work is answered with its seconds.

Its package does not import on Linux, but the module of its tokenizer does. Started by ``tokens.py``.
"""

import contextlib
import importlib.util
import io
import json
import sys
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

MODULE = "src/core/core_tokenizer.py"


def load() -> Any:
    """The module, without the package around it."""
    path = Path(str(distribution("somaya").locate_file(MODULE)))
    spec = importlib.util.spec_from_file_location("older_core_tokenizer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Answer until there are no more lines."""
    module = load()
    texts: list[str] = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        work, place = json.loads(line)
        text = texts[place % len(texts)]
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            if work == "build":
                found = module.TextTokenizer(seed=12345, embedding_bit=False).build(text)
                count = sum(len(stream.tokens) for stream in found.values())
            elif work == "word":
                count = len(module.tokenize_word(text))
            else:
                generator = module.XorShift64Star(12345)
                count = place
                for _ in range(count):
                    generator.next_u64()
        print(json.dumps([time.perf_counter() - begun, count]), flush=True)


if __name__ == "__main__":
    main()
