# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Day 5, solved: what should a network see, and what must it never see?
#
# The exercises of [day 5](../day05_data.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import Dataset, Subset

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## A split that is fair ★★☆
#
# *From each class `round(fraction * count)` images at random for validation, the others for training.*

# %%
def stratified_split(labels, fraction, generator):
    """(train_index, val_index): from each class, `fraction` goes to validation."""
    train, val = [], []
    for c in labels.unique():
        rows = (labels == c).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        taken = round(fraction * len(rows))
        val.append(rows[:taken])
        train.append(rows[taken:])
    return torch.cat(train), torch.cat(val)


check("day05.stratified_split", stratified_split)


# %% [markdown]
# Each class is dealt on its own, so chance cannot favour one. The parts are disjoint and complete because each list of
# positions is cut at *one* place. `randperm` numbers the members of the class from 0; indexing `rows` with it turns
# that back into positions in the whole set, which is the step most often forgotten. The result is sorted by class: a
# training loader shuffles anyway.

# %% [markdown]
# ## Statistics of colour images ★☆☆
#
# *Mean and deviation of each channel, in units from 0 to 1, of the training images alone.*

# %%
def train_statistics(images, train_index):
    """(mean [3], std [3]) of the training images, per channel, in units of 0 to 1."""
    pixels = images[train_index].float() / 255
    mean = pixels.mean(dim=(0, 2, 3))
    std = pixels.std(dim=(0, 2, 3))
    return mean, std


check("day05.train_statistics", train_statistics)

# %% [markdown]
# Choosing comes first, so nothing after it can look at the others. The three dimensions named are those that disappear:
# images, rows and columns; the channels stay. Averaging the deviations of single images gives less, because it misses
# that some images are brighter than others. For means alone, and images of one size, averaging averages happens to be
# right.

# %% [markdown]
# ## How many batches? ★☆☆
#
# *Number of batches and size of the last one.*

# %%
batch_counts = [(430, 88), (4, 250), (5, 1), (4, 250)]

check("day05.batch_counts", batch_counts)


# %% [markdown]
# 128 fits 429 times into 55,000, which makes 54,912; the 88 that are left over are batch number 430. 250 fits four
# times into 1,000 with nothing left, so there is no fifth. With one image more there is, of a single image, and batch
# normalisation in training mode would stop there with an error (day 4). `drop_last=True` is the usual remedy.

# %% [markdown]
# ## A Dataset of your own ★★☆
#
# *Pairs of neighbouring images, and whether they show the same class.*

# %%
class SameOrNot(Dataset):
    """Pairs of neighbouring images, and whether they show the same class."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images) - 1

    def __getitem__(self, i):
        first, second = self.images[i].float() / 255, self.images[i + 1].float() / 255
        return first, second, int(self.labels[i] == self.labels[i + 1])


check("day05.same_or_not", SameOrNot)


# %% [markdown]
# Between N posts there are N - 1 gaps. Images become floats on the way out, one pair at a time, so that the set stays
# small in memory. A `for` loop over an object without `__iter__` asks for items 0, 1, 2, ... and stops at the first
# `IndexError`. Here `images[i + 1]` raises it beyond the last pair. Where nothing does so by itself, say `if i >=
# len(self): raise IndexError(i)`.

# %% [markdown]
# ## Move a batch ★★★
#
# *Each image sideways by a number of its own, zeros at the edge.*

# %%
def shift_right(x, by):
    """Move image i of x [B, 1, H, W] by[i] pixels to the right; zeros come in."""
    width = x.shape[3]
    padded = F.pad(x, (width, width))  # [B, 1, H, 3 W]: zeros on both sides
    here = torch.arange(width, 2 * width, device=x.device)  # [W]
    source = here - by[:, None]  # [B, W]
    return padded.take_along_dim(source[:, None, None], dim=3)  # [B, 1, H, W]


check("day05.shift_right", shift_right)


# %% [markdown]
# Think backwards: not where a pixel goes, but where each pixel of the result comes *from*. Unmoved, the columns are
# `width` to `2 * width - 1` of the padded image; a shift to the right looks further left. A row of columns minus a
# column of shifts is, by broadcasting, the table `[B, W]`. The padding has the zeros ready wherever the table points
# beyond the edge, and the two `None` stand for the channel and the rows, which all do the same.

# %% [markdown]
# ## Two data sets that share nothing but images ★★☆
#
# *Training pictures augmented, validation pictures plain.*

# %%
class Pictures(Dataset):
    """The lesson's: item i is (transform(picture), label)."""

    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        picture = Image.fromarray(self.images[i, 0].numpy())
        return self.transform(picture), self.labels[i].item()


# %%
def train_and_val(images, labels, train_index, val_index, augment, plain):
    """(training set, validation set), each with a transform of its own."""
    train = Subset(Pictures(images, labels, augment), train_index)
    val = Subset(Pictures(images, labels, plain), val_index)
    return train, val


check("day05.train_and_val", train_and_val)

# %% [markdown]
# One `Pictures` has one `transform`, so two transforms need two of them. Both point at the same `images`, so nothing is
# copied. Another way is to keep the transform out of the data set altogether, in a wrapper around the subset or, as in
# our package, in the loader.
