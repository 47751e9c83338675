# SPDX-License-Identifier: Apache-2.0
"""What people say to a house: sentences made of patterns, and what each asks for."""

from __future__ import annotations

import random

INTENTS = ("light_on", "light_off", "warmer", "cooler", "open_blinds", "close_blinds", "other")
ROOMS = ("kitchen", "bedroom", "living room", "hall", "bathroom", "office", "garage", "attic")
POLITE = ("", "", "", "please ", "could you ", "hey house ", "would you please ", "can you ")
PATTERNS = {
    "light_on": (
        "turn on the {light} in the {room}",
        "switch the {room} {light} on",
        "{light} on in the {room}",
        "it is too dark in the {room}",
        "turn the {light} on",
        "make it bright in the {room}",
        "i can not see anything in the {room}",
    ),
    "light_off": (
        "turn off the {light} in the {room}",
        "switch the {room} {light} off",
        "{light} out in the {room}",
        "it is too bright in the {room}",
        "turn the {light} off",
        "make the {room} dark",
        "nobody needs {light} in the {room}",
    ),
    "warmer": (
        "make the {room} warmer",
        "it is too cold in the {room}",
        "turn up the {heat} in the {room}",
        "i am freezing",
        "more {heat} in the {room}",
        "raise the temperature in the {room}",
    ),
    "cooler": (
        "make the {room} cooler",
        "it is too hot in the {room}",
        "turn down the {heat} in the {room}",
        "i am sweating",
        "less {heat} in the {room}",
        "lower the temperature in the {room}",
    ),
    "open_blinds": (
        "open the {blind} in the {room}",
        "{blind} up in the {room}",
        "let the sun into the {room}",
        "raise the {room} {blind}",
        "let me see outside",
    ),
    "close_blinds": (
        "close the {blind} in the {room}",
        "{blind} down in the {room}",
        "keep the sun out of the {room}",
        "lower the {room} {blind}",
        "shut the {blind}",
    ),
    "other": (
        "what time is it",
        "play some music in the {room}",
        "how is the weather",
        "tell me a story",
        "who is in the {room}",
        "is the {light} in the {room} on",
        "add milk to the list",
        "did somebody ring",
        "call my mother",
        "how warm is the {room}",
        "never mind",
        "good night",
        "where are my keys",
        "what is on in the cinema",
        "the {room} looks nice",
    ),
}
WORDS = {
    "light": ("light", "lights", "lamp", "lamps"),
    "heat": ("heat", "heating", "radiator"),
    "blind": ("blinds", "shutters", "curtains", "blind"),
    "room": ROOMS,
}


def sentence(intent: str, rng: random.Random) -> str:
    """A sentence that asks for `intent`."""
    text = rng.choice(PATTERNS[intent])
    for word, choices in WORDS.items():
        text = text.replace("{" + word + "}", rng.choice(choices))
    said = rng.choice(POLITE) + text
    if rng.random() < 0.3:
        said = said.capitalize() + rng.choice((".", "!", "?", ""))
    if rng.random() < 0.15:  # a slip of the finger
        at = rng.randrange(len(said))
        said = said[:at] + said[at + 1 :]
    return said


def sentences(each: int, seed: int) -> tuple[list[str], list[int]]:
    """`each` sentences an intent, and the intents' numbers."""
    rng = random.Random(seed)  # a simulation, no secret
    pairs = [(sentence(i, rng), at) for at, i in enumerate(INTENTS) for _ in range(each)]
    return [text for text, _ in pairs], [at for _, at in pairs]
