"""Find measured numbers that were typed into prose, in figures or in words: they are false with the next run."""

from __future__ import annotations

import re
from collections.abc import Iterator

# lesson: words that may stand in its prose, and why
NOT_MEASURED: dict[str, dict[str, str]] = {
    "day05_data": {"loses about a third of its hits": "the cell above asserts 20 to 45 %"},
    "day11_tensorboard": {"five or fifty per cent of them": "where a quantile is"},
    "day12_metrics": {
        "about nine in ten of them are right": "what a confidence of 90 % would mean",
        "right in 98 % of all cases": "a network that is made so",
        "Does 90 % mean": "a question",
    },
    "day15_depth_width": {"Guessing reads 10 in 100": "there are ten classes"},
    "day16_init_norm": {
        "about one digit in ten is right": "there are ten classes",
        "read about four digits in five": "the cell above asserts 73 %",
    },
    "day17_regularisation": {
        "no interval of a remedy reaches three points": "an assert holds it",
        "a confidence of 90 % is right": "a question",
        "gave away a fifth of the digits": "as many as were set aside",
    },
    "solutions/day02_numpy_network": {"an error of 0.33": "the formula gives a third"},
    "solutions/day13_debugging": {"reads three digits in four": "the lesson's table says so"},
}

ONES = "one|two|three|four|five|six|seven|eight|nine"
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
WORD = rf"(?:(?:{TENS})(?:[- ](?:{ONES}))?|{TEENS}|{ONES}|zero|a hundred|one hundred)"
COUNT = rf"(?:\d[\d,]*|{WORD})"
DECIMAL = rf"(?:\d*\.\d+|(?:zero|{ONES}) point (?:zero|{ONES}))"
PERCENT = rf"(?:\d[\d,]*(?:\.\d+)?|{WORD}(?: point (?:{ONES}))?) ?(?:%|per ?cent\b|percent\b)"
POINTS = rf"(?:{DECIMAL}|{COUNT}) (?:percentage )?points\b"
FRACTION = r"(?:(?:a|one|two|three|four|five|six|seven|eight|nine) (?:third|quarter|fifth|sixth|eighth|ninth|tenth)s?)"
NOUN = r"(?:digit|image|picture|answer|prediction|judge|case|sample|example)s?"
AMONG = rf"{COUNT} (?:{NOUN} )?(?:in|out of|of) (?:every )?(?:three|four|five|ten|twenty|a hundred|hundred|\d[\d,]*)\b"
ABOUT = r"(?:about|around|roughly|nearly|almost|over|under|only|just|barely|well|more than|less than|some|a|mere|at)"
TIME = rf"(?:\d+(?:\.\d+)?|{WORD}) ?(?:seconds?|s|ms|milliseconds?|minutes?)\b"

# What was measured, what says that it was, and who the fractions are of.
MEASURE = (
    r"(?:accurac(?:y|ies)|loss(?:es)?|error(?: rate)?s?|perplexity|precision|recall|F1|AUC|PSNR|SSIM|score"
    r"|test result|validation|training|test)"
)
TO = "fell|falls|rose|rises|dropped|drops|climbed|climbs|came down|went up|improved|improves|grew|grows"
AT = "ended|ends|ended up|ends up|settled|settles|stayed|stays|landed|lands|stopped|stops"
PLAIN = (
    "reached|reaches|scored|scores|achieved|achieves|attained|attains|managed|manages|got|gets|reads?|recognised"
    "|recognises|lost|loses|won|wins|gained|gains|cost|costs"
)
RESULT = rf"(?:(?:{TO}) (?:from \S+ )?to|(?:{AT}) (?:at|with)|{PLAIN})"
LINK = rf"(?:is|was|are|were|of|at|to|becomes|became|equals|equal|stands|stood|came|comes|{TO}|{AT}|{PLAIN})"
JUDGED = (
    r"(?:(?:of|in) (?:(?:the|all|its|their|these|those|our) )?(?:\w+[- ])?"
    rf"(?:{NOUN}|hits|test set|time|them)\b)"
)
CLAIMS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w.])\d{1,3}\.\d+ ?(?:%|per ?cent\b|percent\b)",  # no setting has decimals of a percent
        rf"\b{MEASURE}\b(?: \w+){{0,3}}? {LINK}(?: {LINK})?(?: {ABOUT}){{0,2}} (?:{PERCENT}|{DECIMAL})",
        rf"\b{MEASURE}(?::|,| \(| between| from)(?: {ABOUT})? ?(?:{PERCENT}|{DECIMAL})",
        rf"(?<!rate )\b{RESULT}(?: {ABOUT}){{0,2}} (?:an? )?(?:{MEASURE} (?:of|at) (?:{ABOUT} )?)?"
        rf"(?:{PERCENT}|{DECIMAL}|{POINTS})",
        rf"\b{RESULT}(?: {ABOUT}){{0,2}} (?:{AMONG}|{FRACTION} {JUDGED})",
        rf"(?<![\w.])(?:{PERCENT}|{FRACTION}|{AMONG}) {JUDGED}",
        rf"(?<![\w.]){AMONG} {NOUN}\b",
        rf"\b(?:took|takes|ran|runs|was done) (?:in )?(?:{ABOUT} )?{TIME}",
        rf"\b(?:right|wrong|correct|misreads|misread) (?:on|in|for|at)?(?: {ABOUT})? ?(?:{PERCENT}|{AMONG})",
        rf"\b(?:{DECIMAL}|{WORD}|\d+) (?:percentage )?points? "
        r"(?:higher|lower|more|less|better|worse|above|below|ahead|behind|of accuracy|up|down)\b",
        rf"(?<![\w.])(?:{PERCENT}|{DECIMAL}) {MEASURE}\b",
        rf"(?<![\w.])(?:{PERCENT}|{AMONG}) (?:\w+ ){{0,2}}(?:right|wrong|correct|correctly|accurate|accuracy)\b",
    )
]
ANSWER = re.compile(rf"(?<![\w.]){PERCENT}", re.IGNORECASE)  # in "What happened", where nothing is set
INTERVAL = re.compile(r"(?:intervals? at (?:95|ninety-five) ?%|\b(?:95|99) ?% intervals?)")
# Code, formulas, quoted words, predictions (they ask), and what an exercise sets.
NOT_PROSE = re.compile(
    r"```.*?```|`(?:[^`\n]|\n(?!\n))*`|\$\$.*?\$\$|\$[^$]*\$|\"[^\"\n]{,40}\"|^>.*?$|^### Exercise.*?(?=^##|\Z)",
    re.DOTALL | re.MULTILINE,
)


def typed_numbers(markdown: str, lesson: str = "") -> Iterator[str]:
    """What looks like a measured number in the prose of the lesson with this name, once each."""
    text = NOT_PROSE.sub("¤", markdown)
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    for paragraph in paragraphs:
        plain = INTERVAL.sub("¤", re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", paragraph))
        for words in NOT_MEASURED.get(lesson, ()):
            plain = plain.replace(words, "¤")
        claims = [*CLAIMS, ANSWER] if plain.startswith("What happened.") else CLAIMS
        found = {(match.start(), match[0]) for claim in claims for match in claim.finditer(plain)}
        end = 0
        for start, claim in sorted(found, key=lambda one: (one[0], -len(one[1]))):
            if start >= end:
                yield claim
                end = start + len(claim)
