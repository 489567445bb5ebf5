"""The trained second part as layers of BriVL.

  text_tower(text)         SecondText -> (B.TextTower, BERT's config): width WIDE, one layer, then textAtt
  image_head(image, old)   SecondImage, the shipped head -> B.ImageHead

A token has WIDE numbers: BERT of the first stream, OWN of the second, a flag that only [PAD] has, two anchors.
LayerNorm would mix the streams. The anchors make every sum zero and every length RADIUS, which is so much longer
than the streams that what the layers add does not change it; weights of RADIUS / sqrt(WIDE) then make every
LayerNorm the identity. What a layer writes it takes from the first anchor, so that the sum stays zero. BERT
has no mask: each of its heads has 63 numbers and a 64th, by which [PAD] gets -FLAG. textAtt, whose input has
unit length, reads RADIUS times as much and writes so much less. The first stream is never written, hence
the first part is that of first_part.tables, exactly.

The picture's first part is the shipped one; its attention, which passes through, is left out (8 dead units); the
order is zero in it."""
import torch
import torch.nn.functional as F

import brivl_torch as B
import image_head as I
import text_tower as T
from second_image import SECOND
from second_text import HEAD, HEADS, INNER, LAST_INNER, ORDER_HIDDEN, OWN
from word_order import ORDER

STREAMS, JOINT = T.BERT + OWN, I.DIM + SECOND + ORDER
WIDE, FLAG_AT, TAKES, KEEPS = STREAMS + 3, STREAMS, STREAMS + 1, STREAMS + 2  # channels; the last two are anchors
ANCHOR, FLAG, QUERY = 400.0, 100.0, 8.0
RADIUS = ANCHOR * 2 ** 0.5
CONFIG = dict(model_type='bert', hidden_act='gelu', layer_norm_eps=1e-12, hidden_size=WIDE, num_hidden_layers=1,
              num_attention_heads=HEADS, intermediate_size=INNER, max_position_embeddings=T.LENGTH,
              type_vocab_size=2, pad_token_id=0)
assert WIDE == HEADS * (HEAD + 1)


def as_half(x):
    """As the file keeps it, so that anchors can be worked out for what is read."""
    return x.half().float()


def zero(module):
    for p in module.parameters():
        p.zero_()


def pass_norm(norm):
    norm.weight.fill_(RADIUS / WIDE ** 0.5)
    norm.bias.zero_()


def reads(weight):
    """[o,STREAMS] -> [o,WIDE]"""
    return F.pad(weight, (0, WIDE - STREAMS))


def set_reading(layer, weight, bias):
    layer.weight.copy_(reads(weight))
    layer.bias.copy_(bias)


def set_writing(layer, weight, bias, scale=1.0):
    """weight [OWN,i], bias [OWN] -> a layer that adds them to the second stream."""
    zero(layer)
    for p, value in ((layer.weight, weight), (layer.bias, bias)):
        p[T.BERT:STREAMS] = as_half(value)
        p[TAKES] = -p.sum(0)
        p *= scale


def projections(layer, scale=1.0):
    """Queries, keys and values of all heads: [3,WIDE,WIDE], [3,WIDE]."""
    weight, bias = torch.zeros(3, HEADS, HEAD + 1, WIDE), torch.zeros(3, HEADS, HEAD + 1)
    weight[:, :, :HEAD, :STREAMS] = scale * layer.qkv.weight.view(3, HEADS, HEAD, STREAMS)
    bias[:, :, :HEAD] = layer.qkv.bias.view(3, HEADS, HEAD)
    bias[0, :, HEAD] = QUERY
    weight[1, :, HEAD, FLAG_AT] = -scale
    return weight.view(3, WIDE, WIDE), bias.view(3, WIDE)


def of_heads(layer):
    """[OWN,WIDE]: what is made of the heads' values."""
    return F.pad(layer.out.weight.view(OWN, HEADS, HEAD), (0, 1)).reshape(OWN, WIDE)


def embed(e, text):
    word = F.pad(torch.cat([text.token, text.word.weight], 1), (0, 3))
    place = as_half(F.pad(torch.cat([text.position, text.place], 1), (0, 3)))
    word[0] = 0
    word[0, FLAG_AT] = FLAG
    word = as_half(word)
    usual = place[1:6].mean(0)
    sums, rest = (word + usual).sum(1), RADIUS ** 2 - (word + usual).square().sum(1)
    word[:, KEEPS] = as_half(((2 * rest - sums ** 2).sqrt() - sums) / 2)
    word[:, TAKES] = -word.sum(1)
    place[:, TAKES] = -place.sum(1)
    e.word_embeddings.weight.copy_(word)
    e.position_embeddings.weight.copy_(place)
    e.token_type_embeddings.weight.zero_()
    pass_norm(e.LayerNorm)


def bert_layer(into, layer):
    weights, biases = projections(layer)
    for name, weight, bias in zip(('query', 'key', 'value'), weights, biases):
        getattr(into.attention.self, name).weight.copy_(weight)
        getattr(into.attention.self, name).bias.copy_(bias)
    set_writing(into.attention.output.dense, of_heads(layer), layer.out.bias)
    set_reading(into.intermediate.dense, layer.up.weight, layer.up.bias)
    set_writing(into.output.dense, layer.down.weight, layer.down.bias)
    pass_norm(into.attention.output.LayerNorm)
    pass_norm(into.output.LayerNorm)


def last_layer(into, layer):
    weights, biases = projections(layer, RADIUS)
    into.self_attn.in_proj_weight.copy_(weights.reshape(3 * WIDE, WIDE))
    into.self_attn.in_proj_bias.copy_(biases.reshape(3 * WIDE))
    set_writing(into.self_attn.out_proj, of_heads(layer), layer.out.bias, 1 / RADIUS)
    set_reading(into.linear1, layer.up.weight, layer.up.bias)
    set_writing(into.linear2, layer.down.weight, layer.down.bias)
    pass_norm(into.norm1)
    pass_norm(into.norm2)


def last_of(fc2, first, part):
    """The last layer of a head: the old one's rows, then the second part's from old and new units; the rest is
    zero. `part`: SecondText or SecondImage, whose first part is divided by its length. Returns what is to be
    multiplied with the rest."""
    zero(fc2)
    old, gain, second = first.in_features, part.first.length * part.gain, slice(I.DIM, I.DIM + SECOND)
    fc2.weight[:I.DIM, :old], fc2.bias[:I.DIM] = first.weight, first.bias
    of_old = part.from_old.weight / part.old_size
    fc2.weight[second, :old] = gain * of_old
    fc2.weight[second, old:old + part.units.out_features] = gain * part.from_units.weight
    fc2.bias[second] = gain * (part.from_units.bias - of_old @ part.old_mean)
    return gain


@torch.no_grad()
def text_tower(text):
    config = dict(CONFIG, vocab_size=len(text.token))
    old = text.first.textFC
    n = old.fc1.out_features
    units = torch.cat([text.units.weight, text.order_units.weight])
    bert, head = B.Bert(config), B.TextHead(WIDE, HEADS, 1, LAST_INNER, n + len(units), JOINT)
    embed(bert.embeddings, text)
    bert_layer(bert.encoder.layer[0], text.layers[0])
    last_layer(head.textAtt.layers[0], text.layers[1])
    fc1 = head.textFC.fc1
    fc1.weight[:n] = F.pad(old.fc1.weight * text.first_size, (0, WIDE - T.BERT))
    fc1.bias[:n] = old.fc1.bias + old.fc1.weight @ text.first_mean
    fc1.weight[n:] = reads(units * text.input_gain)
    fc1.bias[n:] = torch.cat([text.units.bias, text.order_units.bias])
    fc2 = head.textFC.fc2
    gain = last_of(fc2, old.fc2, text)
    fc2.weight[-ORDER:, -ORDER_HIDDEN:] = gain * text.from_order.weight
    fc2.bias[-ORDER:] = gain * text.from_order.bias
    return B.TextTower(bert, head).eval(), config


@torch.no_grad()
def image_head(image, old):
    fc1 = old.imgFC.fc1
    n, width = fc1.out_features, fc1.in_features
    head = B.ImageHead(old.max_pool[0].in_features, width, 4, 1, 8, n + image.units.out_features, JOINT)
    head.max_pool.load_state_dict(old.max_pool.state_dict())
    zero(head.imgAtt)
    for name in ('norm1', 'norm2'):
        getattr(head.imgAtt.layers[0], name).load_state_dict(
            getattr(old.imgAtt.layers[0], name).state_dict())
    reading = image.units.weight / image.input_size
    into = head.imgFC.fc1
    into.weight[:n], into.bias[:n] = fc1.weight, fc1.bias
    into.weight[n:] = F.pad(reading, (0, 1))
    into.bias[n:] = image.units.bias - reading @ image.input_mean
    last_of(head.imgFC.fc2, old.imgFC.fc2, image)
    return head.eval()
