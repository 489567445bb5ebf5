"""After joint.py: names of the 1000 classes get nothing in the second part, the other texts what they had, as far
as one layer can. The second part is linear in textFC's units (old ones, new ones, one): its weights W [SECOND,U]
become W + D, where D makes
    sum over closed texts of `closed` |(W + D) u|^2 + the first names of classes, `first` + others |D u|^2
least; names of kinds of pictures count more among the others. Units u of a text are divided by the length of
its first part."""
import torch
import torch.nn.functional as F

from joint import pooled, split

RIDGE = 1e-4            # of the mean square


def units(text, x):
    """[n,U] for textFC's input."""
    old = (text.old_units(x) - text.old_mean) / text.old_size
    u = torch.cat([old, F.relu(text.units(x * text.input_gain)), torch.ones(len(x), 1)], 1)
    return u / split(text.of_pooled(x))[0].norm(dim=1, keepdim=True)


def squares(text, x):
    """The sum of u u^T [U,U] over texts, double."""
    total = 0
    for part in x.split(3000):
        u = units(text, part)
        total = total + (u.T @ u).double()
    return total


@torch.no_grad()
def settle(args, text, spoken, names):
    """Changes `text`. `spoken`: joint.Spoken; `names`: (ids, used) of the first names of the classes, those
    that are closed; args.settle: how much closed texts and first names weigh, and names of kinds beside the
    one that other texts have."""
    closed, first, kinds = args.settle
    text.eval()
    shut = closed * squares(text, spoken.closed) + first * squares(text, pooled(text, *names))
    total = shut + squares(text, spoken.inputs) + kinds * squares(text, spoken.inputs[spoken.kinds])
    total += RIDGE * total.diagonal().mean() * torch.eye(len(total))
    weights = torch.cat([text.from_old.weight, text.from_units.weight, text.from_units.bias[:, None]], 1)
    weights = weights + torch.linalg.solve(total, -shut @ weights.T.double()).T.float()
    old, new = text.from_old.in_features, text.from_units.in_features
    text.from_old.weight.copy_(weights[:, :old])
    text.from_units.weight.copy_(weights[:, old:old + new])
    text.from_units.bias.copy_(weights[:, -1])
