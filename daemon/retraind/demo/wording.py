"""Words of the demo's support bot: short questions and answers about home devices."""

from __future__ import annotations

import random
from typing import Final

PRODUCTS: Final = ("router", "mesh kit", "set-top box", "phone plan", "modem", "repeater")
NEW_PRODUCTS: Final = ("video doorbell", "smart lock", "thermostat")

_PARTS: Final = {
    "router": ("the guest network", "the admin page", "the 5 GHz band", "port forwarding"),
    "mesh kit": ("the second node", "the backhaul", "the app pairing", "roaming"),
    "set-top box": ("the remote", "subtitles", "recording", "the HDMI output"),
    "phone plan": ("roaming abroad", "the data limit", "the monthly bill", "number porting"),
    "modem": ("the line sync", "the DSL light", "bridge mode", "the firmware"),
    "repeater": ("the signal light", "the WPS button", "the placement", "the channel"),
    "video doorbell": ("motion alerts", "the chime", "night vision", "the cloud recording"),
    "smart lock": ("the door code", "auto-lock", "the bolt sensor", "guest keys"),
    "thermostat": ("the weekly schedule", "the boiler relay", "away mode", "the room sensor"),
}
_QUESTIONS: Final = (
    "How do I reset {part} of my {product}?",
    "Why did {part} stop working on the {product} since yesterday?",
    "My {product} shows an error for {part}, what now?",
    "Can I change {part} on the {product} from my phone?",
    "Is {part} included with the {product}?",
    "Where do I find {part} in the {product} settings?",
)
_SENTENCES: Final = (
    "Open the {product} settings and choose {part}.",
    "Wait until the light of the {product} is steady before you go on.",
    "If {part} is missing, update the {product} first.",
    "Changes to {part} take about two minutes.",
    "You can undo this under Advanced, {part}.",
    "Hold the button of the {product} for ten seconds, then set up {part} again.",
    "Our guide for the {product} describes {part} step by step.",
    "Tell me if {part} still does not respond.",
)


def question(rng: random.Random, product: str) -> str:
    """One question about the product."""
    return rng.choice(_QUESTIONS).format(product=product, part=rng.choice(_PARTS[product]))


def answer(rng: random.Random, product: str, *, sentences: int) -> str:
    """An answer of so many sentences."""
    part = rng.choice(_PARTS[product])
    first = rng.randrange(len(_SENTENCES))
    chosen = (_SENTENCES[(first + i) % len(_SENTENCES)] for i in range(sentences))
    return " ".join(sentence.format(product=product, part=part) for sentence in chosen)
