"""Greets people and counts words."""

import re
from collections import Counter

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.greet import Word


class Greet(exports.Greet):
    """`local:greet/greet`. An error of the interface is raised as `Err`."""

    def greet(self, name: str) -> str:
        if not name:
            raise Err("a name is needed")
        return f"Hello, {name}!"

    def count(self, text: str) -> list[Word]:
        words = re.findall(r"[^ \t\r\n]+", text)
        return [Word(text=word, count=count) for word, count in Counter(words).items()]
