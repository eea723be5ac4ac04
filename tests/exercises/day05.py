"""Answers to the exercises of day 5: other right ones, and wrong ones that are really given."""

import copy

import torch
from answers import Answers
from torch.nn import functional as F
from torch.utils.data import Dataset, Subset


def split_by_sorting(labels, fraction, generator):
    order = torch.randperm(len(labels), generator=generator)
    in_val = torch.zeros(len(labels), dtype=torch.bool)
    for c in set(labels.tolist()):
        rows = order[labels[order] == c]
        in_val[rows[: round(fraction * len(rows))]] = True
    return (~in_val).nonzero().squeeze(1), in_val.nonzero().squeeze(1)


def split_any(labels, fraction, generator):
    order = torch.randperm(len(labels), generator=generator)
    taken = round(fraction * len(labels))
    return order[taken:], order[:taken]


def by_class(labels, fraction, pick):
    train, val = [], []
    for c in labels.unique():
        rows = (labels == c).nonzero().flatten()
        a, b = pick(rows, round(fraction * len(rows)))
        train.append(a)
        val.append(b)
    return torch.cat(train), torch.cat(val)


def split_first_of_each(labels, fraction, generator):
    return by_class(labels, fraction, lambda rows, n: (rows[n:], rows[:n]))


def split_with_global_randomness(labels, fraction, generator):
    def pick(rows, n):
        rows = rows[torch.randperm(len(rows))]
        return rows[n:], rows[:n]

    return by_class(labels, fraction, pick)


def split_exchanged(labels, fraction, generator):
    return split_by_sorting(labels, fraction, generator)[::-1]


def split_overlapping(labels, fraction, generator):
    return torch.arange(len(labels)), split_by_sorting(labels, fraction, generator)[1]


def split_within_classes(labels, fraction, generator):
    def pick(rows, n):
        order = torch.randperm(len(rows), generator=generator)
        return order[n:], order[:n]

    return by_class(labels, fraction, pick)


def split_as_masks(labels, fraction, generator):
    val = split_by_sorting(labels, fraction, generator)[1]
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[val] = True
    return ~mask, mask


def split_losing_some(labels, fraction, generator):
    train, val = split_by_sorting(labels, fraction, generator)
    return train[1:], val


def statistics_by_flattening(images, train_index):
    x = images[train_index].double().div(255).permute(1, 0, 2, 3).flatten(1)
    mean = x.mean(1)
    return mean, (x - mean[:, None]).square().mean(1).sqrt()


def statistics_of_all(images, train_index):
    return statistics_by_flattening(images, slice(None))


def statistics_of_bytes(images, train_index):
    mean, std = statistics_by_flattening(images, train_index)
    return 255 * mean, 255 * std


def statistics_in_one_number(images, train_index):
    x = images[train_index].float() / 255
    return x.mean(), x.std()


def statistics_of_all_bytes(images, train_index):
    x = images[train_index].float()
    return x.mean(), x.std()


def statistics_of_all_images_in_bytes(images, train_index):
    return statistics_of_bytes(images, slice(None))


def statistics_by_256(images, train_index):
    mean, std = statistics_by_flattening(images, train_index)
    return mean * 255 / 256, std * 255 / 256


def statistics_of_images(images, train_index):
    x = images[train_index].float() / 255
    return x.mean(dim=(2, 3)).mean(dim=0), x.std(dim=(2, 3)).mean(dim=0)


def statistics_per_place(images, train_index):
    x = images[train_index].float() / 255
    return x.mean(dim=0), x.std(dim=0)


def statistics_with_variance(images, train_index):
    mean, std = statistics_by_flattening(images, train_index)
    return mean, std**2


def statistics_of_the_others(images, train_index):
    rest = [i for i in range(len(images)) if i not in train_index.tolist()]
    return statistics_by_flattening(images, rest)


def statistics_in_place(images, train_index):
    images //= 255
    return statistics_by_flattening(images, train_index)


class PairsStacked(Dataset):
    def __init__(self, images, labels):
        self.pixels = images.to(torch.float32).div(255)
        self.same = (labels[1:] == labels[:-1]).long().tolist()

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return self.pixels[i], self.pixels[i + 1], self.same[i]


class PairsLazy:
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images) - 1

    def scaled(self, i):
        return self.images[i] / 255

    def same(self, i):
        return int(self.labels[i] == self.labels[i + 1])

    def __getitem__(self, i):
        return self.scaled(i), self.scaled(i + 1), self.same(i)


class PairsTooLong(PairsLazy):
    def __len__(self):
        return len(self.images)


class PairsOfBytes(PairsLazy):
    def scaled(self, i):
        return self.images[i].float()


class PairsBlack(PairsLazy):
    def scaled(self, i):
        return (self.images[i] // 255).float()


class PairsTurned(PairsLazy):
    def same(self, i):
        return 1 - super().same(i)


class PairsOfLabels(PairsLazy):
    def same(self, i):
        return int(self.labels[i])


class PairsEndless(PairsLazy):
    def __getitem__(self, i):
        i = i % len(self)
        return super().__getitem__(i)


class PairsTwice(PairsLazy):
    def __getitem__(self, i):
        return self.scaled(i), self.scaled(i), self.same(i)


def shift_by_padding(x, by):
    width = x.shape[3]
    padded = F.pad(x, (width, width))
    return torch.stack([p[..., width - k : 2 * width - k] for p, k in zip(padded, by.tolist(), strict=True)])


def shift_by_matrix(x, by):
    width = x.shape[3]
    rows, columns = torch.arange(width)[:, None], torch.arange(width)
    moves = (columns - rows == by[:, None, None]).double()  # [B, W, W]
    return (x.double() @ moves[:, None]).to(x.dtype)


def shift_rolling(x, by):
    return torch.stack([image.roll(k, -1) for image, k in zip(x, by.tolist(), strict=True)])


def shift_left(x, by):
    return shift_by_padding(x, -by)


def shift_all_alike(x, by):
    return shift_by_padding(x, by[:1].expand(len(by)))


def shift_smearing(x, by):
    width = x.shape[3]
    source = (torch.arange(width) - by[:, None]).clamp(0, width - 1)
    return x.take_along_dim(source[:, None, None], dim=3)


def shift_down(x, by):
    return shift_by_padding(x.transpose(2, 3), by.clamp(-x.shape[2], x.shape[2])).transpose(2, 3)


def shift_in_place(x, by):
    x.copy_(shift_by_padding(x, by))
    return x


class Images(Dataset):
    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(self.images[i, 0]), self.labels[i]


def sets_by_copy(images, labels, train_index, val_index, augment, plain):
    train = Subset(Images(images, labels, augment), train_index)
    val = Subset(copy.copy(train.dataset), val_index)
    val.dataset.transform = plain
    return train, val


def sets_without_subset(images, labels, train_index, val_index, augment, plain):
    return (
        Images(images[train_index], labels[train_index], augment),
        Images(images[val_index], labels[val_index], plain),
    )


def sets_with_the_bug(images, labels, train_index, val_index, augment, plain):
    everything = Images(images, labels)
    train, val = Subset(everything, train_index), Subset(everything, val_index)
    val.dataset.transform = plain
    train.dataset.transform = augment
    return train, val


def sets_in_the_other_order(images, labels, train_index, val_index, augment, plain):
    train, val = sets_with_the_bug(images, labels, train_index, val_index, augment, plain)
    val.dataset.transform = plain
    return train, val


def sets_augmented_beforehand(images, labels, train_index, val_index, augment, plain):
    train, val = sets_without_subset(images, labels, train_index, val_index, augment, plain)
    return [train[i] for i in range(len(train))], val


def sets_without_positions(images, labels, train_index, val_index, augment, plain):
    return Images(images, labels, augment), Images(images, labels, plain)


def sets_exchanged(images, labels, train_index, val_index, augment, plain):
    return sets_without_subset(images, labels, val_index, train_index, augment, plain)


def counts(**changes):
    pairs = [(430, 88), (4, 250), (5, 1), (4, 250)]
    for question, pair in changes.items():
        pairs[int(question[1]) - 1] = pair
    return pairs


ANSWERS = {
    "day05.stratified_split": Answers(
        right=[split_by_sorting],
        wrong=[
            (split_any, "draw from each class separately"),
            (split_first_of_each, "must be drawn at random"),
            (split_with_global_randomness, "draw from `generator`, not from the global"),
            (split_exchanged, "two parts are exchanged"),
            (split_overlapping, "is in both parts"),
            (split_within_classes, "*within* a class"),
            (split_as_masks, "a mask of True and False"),
            (split_losing_some, "in neither part"),
        ],
    ),
    "day05.train_statistics": Answers(
        right=[statistics_by_flattening],
        wrong=[
            (statistics_of_all, "the others must have no say"),
            (statistics_of_bytes, "That is in units of 0 to 255"),
            (statistics_in_one_number, "one number over all channels; each channel has its own"),
            (statistics_of_all_bytes, "of the raw bytes"),
            (statistics_of_all_images_in_bytes, "in units of 0 to 255 besides"),
            (statistics_by_256, "not by 256"),
            (statistics_of_images, "average of the images' own deviations"),
            (statistics_per_place, "average over rows and columns too"),
            (statistics_with_variance, "the root is missing"),
            (statistics_of_the_others, "*not* for training"),
            (statistics_in_place, "in place"),
        ],
    ),
    "day05.batch_counts": Answers(
        right=[((430, 88), (4, 250), (5, 1), (4, 250)), [[430, 88], [4, 250], [5, 1], [4, 250]]],
        wrong=[
            (counts(q1=(429, 128)), "left over make a batch too"),
            (counts(q1=(430, 128)), "the last one is not full"),
            (counts(q2=(5, 0)), "no extra batch"),
            (counts(q4=(5, 1)), "incomplete batch is left out"),
            (counts(q4=(4, 1)), "that is *kept*"),
            (counts(q3=(1, 5)), "other way round"),
        ],
    ),
    "day05.same_or_not": Answers(
        right=[PairsStacked, PairsLazy],
        wrong=[
            (PairsTooLong, "no neighbour"),
            (PairsOfBytes, "still bytes"),
            (PairsBlack, "integer division"),
            (PairsTurned, "1 is for equal labels"),
            (PairsOfLabels, "only 1 or 0"),
            (PairsEndless, "must raise IndexError"),
            (PairsTwice, "one of them stands twice"),
        ],
    ),
    "day05.shift_right": Answers(
        right=[shift_by_padding, shift_by_matrix],
        wrong=[
            (shift_rolling, "`roll` goes round"),
            (shift_left, "To the wrong side"),
            (shift_all_alike, "moved by the first number"),
            (shift_smearing, "edge is smeared"),
            (shift_down, "up or down"),
            (shift_in_place, "in place"),
        ],
    ),
    "day05.train_and_val": Answers(
        right=[sets_by_copy, sets_without_subset],
        wrong=[
            (sets_with_the_bug, "still share one transform"),
            (sets_in_the_other_order, "without augmentation"),
            (sets_augmented_beforehand, "augmented once, beforehand"),
            (sets_without_positions, "should have 5 items, it has 9"),
            (sets_exchanged, "should have 5 items, it has 3"),
        ],
    ),
}
