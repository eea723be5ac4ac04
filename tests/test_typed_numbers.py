"""Measured numbers typed into prose are found, in figures and in words; what a lesson sets, asks or quotes is left."""

import pytest
from typed_numbers import typed_numbers

MEASURED = [
    "The accuracy was 0.913 at the end.",
    "Its accuracy (0.913) is the best.",
    "Test accuracy: 97 %.",
    "An accuracy between 0.91 and 0.93 is usual.",
    "It reaches an accuracy of 0.97.",
    "In the end it reached 97 percent.",
    "So it gets ninety-seven per cent of them.",
    "That is 97% accuracy.",
    "It is right 97 percent of the time.",
    "Wrong on three percent of them!",
    "The error rate halves to 2.1 percent.",
    "The validation loss ended up\nat about **0.08**.",
    "The loss fell from 2.3 to 0.31.",
    "The loss rose to zero point nine.",
    "About three quarters of the digits are read.",
    "It loses two thirds of its hits.",
    "Nine out of ten digits are right.",
    "The network reads 97 of 100 digits.",
    "It misreads one digit in twenty.",
    "Eleven of every hundred digits are misread.",
    "Adam gained two points.",
    "Adam ends three points higher.",
    "Training took 3.2 seconds.",
    "It ran about forty seconds.",
    "**What happened.** Of the judges, 81 % agree.",
]
NOT_MEASURED = [
    "Guess: is 10 % enough? A rate of 0.1, a dropout of 50 %, and 30 % of the labels by lot.",
    "> **Predict.** Will the accuracy be 0.97?",
    "The rate falls from 0.5 to 0.05.",
    "The code prints `accuracy 0.913` and $loss = 0.3$.",
    "```\naccuracy was 0.913\n```",
    'Who says "97 % of the digits" must show it.',
    "Half of the images are mirrored.",
    "**What happened.** Their intervals at 95 % do not meet; nor do the 95 % intervals of the rest.",
    "### Exercise: mean ★☆☆\n\nWith losses of 1.0 and an accuracy of 0.5 it gives 2.0.",
    "Adam (2014) and 3 by 5 images on day 12, three points in the plane.",
]


@pytest.mark.parametrize("text", MEASURED)
def test_a_measured_number_is_found(text):
    assert len(list(typed_numbers(f"## Title\n\n{text}\n\nMore."))) == 1


@pytest.mark.parametrize("text", NOT_MEASURED)
def test_what_is_set_asked_or_quoted_is_not(text):
    assert list(typed_numbers(text)) == []


def test_words_are_excepted_in_their_lesson_alone(monkeypatch):
    monkeypatch.setitem(
        __import__("typed_numbers").NOT_MEASURED, "day99_x", {"reads 10 in 100": "there are ten classes"}
    )
    text = "Guessing\nreads 10 in 100."
    assert list(typed_numbers(text, "day99_x")) == []
    assert list(typed_numbers(text, "day98_x"))
