"""Changed references that their checker accepts, and why each of them is a right answer too.

Exercise -> change, as the mutation test prints it -> reason.
"""

SURVIVORS: dict[str, dict[str, str]] = {
    "day02.mended_backward": {
        "dh = dpred @ params['W2'].T  ->  dh = dpred * params['W2'].T": (
            "a column [N, 1] times a row [1, H] gives the same [N, H] as a matrix product and by broadcasting"
        ),
    },
    "day06.cross_entropy": {
        "right = logits.gather(1, labels[:, None])[:, 0]  ->  right = logits.gather(1, labels[:, None])[:, -1]": (
            "there is one column, which is the first and the last"
        ),
    },
}
