"""A robust trunk: lite0 fine-tuned so that small changes of a picture do not change what the model says of it.
Gradients of such a network in the pixels show shapes where those of an ordinary one are grain (Santurkar et al.,
NeurIPS 2019; Ganz and Elad, CLIPAG, WACV 2024).

  python robust.py --data FOLDER --photos PHOTOS --wheels WHEELS --work WORK --begin MODEL/mini.yml --out OUT
  python robust.py ... --batch 256 --pictures 2000000       # on a GPU
  python robust.py ... --mix 0.5                            # from the state in WORK: half way back to lite0

No labels. Of the clean picture lite0 says a softmax over its classes, and the model --begin an embedding; the student
is to say the same of x + d (KL; one less the cosine, as in Schlarmann et al., Robust CLIP, ICML 2024), |d| <= eps: L2
of pixels in 0..1 at 224, smaller pictures in proportion. So texts stay as they are; of the head imgFC learns along.
"Free" training (Shafahi et al., NeurIPS 2019): each batch is used REPLAYS times, and every pass gives both the
weights' gradient and the next step of d. Batch norms are folded into the convolutions, the weights averaged, eps
and the side of the pictures grow (EPS_FROM, SIDES). The state lies in WORK/robust.pt.

OUT becomes a model with that trunk and head. Told: how many of PHOTOS that no stage has seen are right, by lite0's
classifier and by English names, clean and under an attack of four steps."""
import argparse
import copy
import functools
import itertools
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import brivl_torch as B
import corpus
import image_head as I
import make_mini
import text_tower as T
import trunk
from training import save

REPLAYS = 3
EPS_FROM, EPS_GROWS = 0.2, 0.4                          # of eps at first; until which share of the steps it grows
SIDES = ((0.37, 160), (0.62, 192), (1.0, 224))          # until which share of the steps
COSINE = 5.0                                            # how much one less the cosine counts beside KL
SELDOM = 0.25                                           # how often pictures of places, which are small, are drawn
KEEP = 0.998                                            # of the averaged weights, a step


# --- a trunk without batch norms ------------------------------------------------------------------

def layers(net):
    """[(module, name of a convolution, name of its batch norm)] of timm's EfficientNet."""
    result = [(net, 'conv_stem', 'bn1')]
    for block in itertools.chain(*net.blocks):
        names = ('conv_pw', 'conv_dw', 'conv_pwl') if hasattr(block, 'conv_pwl') else ('conv_dw', 'conv_pw')
        result += [(block, name, f'bn{k + 1}') for k, name in enumerate(names)]
    return result + [(net, 'conv_head', 'bn2')]


def folded(net):
    """A copy whose convolutions do what their (frozen) batch norms did: half as much memory is moved."""
    net = copy.deepcopy(net)
    for module, conv, norm in layers(net):
        bn = getattr(module, norm)
        setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), bn))
        setattr(module, norm, nn.Identity() if isinstance(bn.act, nn.Identity) else type(bn.act)(inplace=True))
    return net


@torch.no_grad()
def unfolded(net, plain):
    """`plain` (timm's network) with the weights of folded `net`; its batch norms only add."""
    for (of, conv, norm), (into, _, _) in zip(layers(net), layers(plain)):
        bn = getattr(into, norm)
        getattr(into, conv).weight.copy_(getattr(of, conv).weight)
        bn.bias.copy_(getattr(of, conv).bias)
        bn.weight.fill_(1)
        bn.running_mean.zero_()
        bn.running_var.fill_(1 - bn.eps)
    return plain


@functools.cache
def box_weights(side):
    """[(side / 32)^2]: how much each place of the map counts in the mean over the boxes."""
    return B.mspp_matrix(6, 4, side, side // 32).mean(0)


class Seer(nn.Module):
    """pixels [n,3,S,S] in 0..1 -> (lite0's logits [n,1000], embedding [n,D]), the boxes averaged before the head."""

    def __init__(self, net, head):
        super().__init__()
        self.net, self.head = net, head

    def forward(self, x):
        weights = box_weights(x.shape[-1])
        x = ((x.clamp(0, 1) - I.MEAN) / I.STD).contiguous(memory_format=torch.channels_last)
        f = self.net.forward_features(x).flatten(2)
        return self.net.classifier(f.mean(2)), self.head((f @ weights.to(f))[:, None])


# --- pictures and attacks -------------------------------------------------------------------------

def picture(path, rng, side):
    """[3,side,side]: a random cut, half of them mirrored, some in another light."""
    x = trunk.changed(path, rng)
    return F.interpolate(x[None], (side, side), mode='bilinear', antialias=True)[0]


def length(d):
    return d.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


def into_ball(d, eps):
    return d * (eps / length(d)).clamp(max=1)


def attacked(seer, x, truth, eps, steps=4):
    """x + d after gradient steps up the classifier's loss."""
    d = torch.zeros_like(x)
    for _ in range(steps if eps else 0):
        d.requires_grad_(True)
        g, = torch.autograd.grad(F.cross_entropy(seer(x + d)[0], truth), d)
        d = into_ball(d.detach() + eps / 2 * g / length(g), eps)
    return x + d.detach()


def accuracy(seer, photos, names, device, attacks=(0, 0.5)):
    """[(eps, share right by the classifier, by `names` [1000,D])]"""
    result = []
    for eps in attacks:
        right = torch.zeros(2)
        for part in (photos[at:at + 25] for at in range(0, len(photos), 25)):
            x = torch.stack([trunk.plain(p) for p in part]).to(device)
            truth = torch.tensor([int(os.path.basename(p)[:3]) for p in part], device=device)
            x = attacked(seer, x, truth, eps)
            with torch.no_grad():
                logits, z = seer(x)
            for k, scores in enumerate((logits, z @ names.T)):
                right[k] += (scores.argmax(1) == truth).sum().item()
        result.append((eps, *(right / len(photos)).tolist()))
    return result


def show(figures):
    return '; '.join(f'eps {e}: {100 * a:.1f} by classifier, {100 * b:.1f} by names' for e, a, b in figures)


# --- training -------------------------------------------------------------------------------------

class Robust:
    """The student, its average over the last steps, and where it stands."""

    def __init__(self, args, teacher, device):
        self.args, self.teacher, self.device = args, teacher, device
        self.student = copy.deepcopy(teacher)
        self.student.net.requires_grad_(True).classifier.requires_grad_(False)
        self.student.head.imgFC.requires_grad_(True)
        self.learns = [p for p in self.student.parameters() if p.requires_grad]
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        head = set(self.student.head.parameters())
        self.optimiser = torch.optim.Adam(
            [{'params': [p for p in self.learns if p not in head], 'rate': args.rate},
             {'params': [p for p in self.learns if p in head], 'rate': args.head_rate}], lr=args.rate)
        self.step, self.path = 0, os.path.join(args.work, 'robust.pt')
        if os.path.exists(self.path):
            state = torch.load(self.path, map_location=device)
            self.student.load_state_dict(state['student'])
            self.average.load_state_dict(state['average'])
            self.optimiser.load_state_dict(state['optimiser'])
            self.step = state['step']

    def save(self):
        save(self.path, student=self.student.state_dict(), average=self.average.state_dict(),
             optimiser=self.optimiser.state_dict(), step=self.step)

    def side(self, step, steps):
        return next(side for until, side in SIDES if step < until * steps or until == 1)

    def learn(self, x, share):
        """A batch, REPLAYS times. {what: loss}"""
        eps = self.args.eps * x.shape[-1] / I.SIZE * min(1, EPS_FROM + (1 - EPS_FROM) * share / EPS_GROWS)
        with torch.no_grad():
            logits, target = self.teacher(x)
            logits = logits.softmax(1)
        d = into_ball(torch.randn_like(x), 0.1 * eps)
        for group in self.optimiser.param_groups:
            group['lr'] = group['rate'] * min(1, (self.step + 1) / 50) * max(1 - share, 0.02)
        for _ in range(REPLAYS):
            d.requires_grad_(True)
            said, z = self.student(x + d)
            lost = {'KL': F.kl_div(said.log_softmax(1), logits, reduction='batchmean'),
                    'one less the cosine': 1 - (z * target).sum(1).mean()}
            self.optimiser.zero_grad()
            (lost['KL'] + COSINE * lost['one less the cosine']).backward()
            nn.utils.clip_grad_norm_(self.learns, 5.0)
            self.optimiser.step()
            d = into_ball(d.detach() + 0.6 * eps * d.grad / length(d.grad), eps)
            kept = min(KEEP, (self.step + 1) / (self.step + 20))
            for old, new in zip(self.average.parameters(), self.student.parameters()):
                old.lerp_(new.detach(), 1 - kept)
        self.step += 1
        return {name: value.item() for name, value in lost.items()}

    def run(self, paths, weights, tell):
        """`tell`: what is measured now and then."""
        args, steps = self.args, max(self.args.pictures // self.args.batch, 1)
        cumulated, began, start, mean = list(itertools.accumulate(weights)), time.time(), self.step, {}

        def read(step):
            rng = random.Random(step)
            chosen = rng.choices(paths, cum_weights=cumulated, k=args.batch)
            return torch.stack([picture(p, rng, self.side(step, steps)) for p in chosen])

        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(read, self.step)
            while self.step < steps:
                x = coming.result().to(self.device)
                coming = ahead.submit(read, self.step + 1)
                torch.manual_seed(self.step)
                for name, value in self.learn(x, self.step / steps).items():
                    mean[name] = mean.get(name, value) * 0.95 + value * 0.05
                if self.step % 50 == 0 or self.step == steps:
                    rate = (self.step - start) * args.batch / (time.time() - began)
                    print(f'robust: step {self.step}/{steps}, side {x.shape[-1]}, ' + ', '.join(
                        f'{name} {value:.3f}' for name, value in mean.items()) +
                        f', {rate:.1f} pictures a second', flush=True)
                if self.step % args.tell == 0 or self.step == steps:
                    self.save()
                    print('robust:', show(tell(self.average)), flush=True)
        return self.average


@torch.no_grad()
def mixed(robust, teacher, share):
    """Weights between lite0 (0) and the robust trunk (1)."""
    result = copy.deepcopy(robust)
    for new, old in zip(result.parameters(), teacher.parameters()):
        new.copy_(torch.lerp(old, new, share))
    return result


def export(args, seer, model):
    """OUT: the model of --begin with this trunk and head."""
    plain = unfolded(seer.net, I.teacher(args.wheels))
    c = model.config
    os.makedirs(args.out, exist_ok=True)
    make_mini.export(plain, seer.head, model.textencoder, args.out, c['LICENSE'], c['TEXT_FEATURE_DIM'],
                     c['TEXT_TRANSFORMER_HEAD'])
    for name in ('config.json', 'vocab.txt', 'words.txt'):
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(args.begin)), name), args.out)


def seen(path):
    """How often a picture is drawn: those of the many small ones less often."""
    return SELDOM if os.sep + 'places' in path else 1.0


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'photos', 'wheels', 'work', 'out', 'begin'):
        a.add_argument('--' + name, required=True)
    a.add_argument('--batch', type=int, default=16)
    a.add_argument('--pictures', type=int, default=50000, help='to train on, all batches together')
    a.add_argument('--eps', type=float, default=0.5, help='largest L2 of a change, at 224 pixels')
    a.add_argument('--rate', type=float, default=6e-5)
    a.add_argument('--head-rate', type=float, default=2e-5)
    a.add_argument('--mix', type=float, default=1.0, help='the share of the robust weights in OUT, the rest is lite0')
    a.add_argument('--tell', type=int, default=500, help='steps between measurements')
    a.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = a.parse_args()
    if os.path.abspath(args.out) == os.path.dirname(os.path.abspath(args.begin)):
        raise SystemExit('--out: another folder than the one that it begins with')
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    os.makedirs(args.work, exist_ok=True)
    device, model = torch.device(args.device), B.BriVL(args.begin)
    encode = T.tokenizer(os.path.join(os.path.dirname(os.path.abspath(args.begin)), 'vocab.txt'))
    english = T.class_names()['en']
    with torch.no_grad():
        names = torch.cat([model.text(*encode(english[k:k + 100])) for k in range(0, len(english), 100)]).to(device)
    teacher = Seer(folded(I.teacher(args.wheels)), model.imgencoder.learnable)
    teacher = teacher.to(device, memory_format=torch.channels_last)
    used, held = I.training_photos(args.photos)
    paths = [p.path for p in corpus.pictures(args.data, args.work) if not p.held] + used
    tell = lambda seer: accuracy(seer, held[::3], names, device)
    print('lite0:', show(tell(teacher)), flush=True)
    average = Robust(args, teacher, device).run(paths, [seen(p) for p in paths], tell)
    result = mixed(average, teacher, args.mix)
    print(args.out, show(tell(result)))
    export(args, result.cpu(), model)


if __name__ == '__main__':
    main()
