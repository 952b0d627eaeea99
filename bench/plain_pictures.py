"""Draws pictures without a subject: textures, skies, landscapes, noise, blank pages, empty studios.

Each seed gives another picture of each kind, the same on every machine. `bench/doubts.py` measures
with them how often a photograph without a subject is recognised.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = (640, 480)
Field = NDArray[np.float64]
"""[height, width], about 0..1"""
Random = np.random.Generator
Colour = NDArray[np.float64]
"""[3], 0..255"""


def colour(random: Random, low: int = 0, high: int = 255) -> Colour:
    return random.uniform(low, high, 3)


def dull(random: Random) -> Colour:
    """Return a colour of stone, wood or earth."""
    return random.uniform(70, 200) * np.array(
        [1, random.uniform(0.75, 0.95), random.uniform(0.5, 0.9)]
    )


def fractal(
    random: Random, across: float = 4, down: float = 4, octaves: int = 6, fall: float = 0.55
) -> Field:
    """Return noise of many scales, 0..1; `across` and `down`: features of the largest scale."""
    width, height = SIZE
    total, weight, weights = np.zeros((height, width)), 1.0, 0.0
    for octave in range(octaves):
        cells = max(2, round(down * 2**octave)), max(2, round(across * 2**octave))
        cells = min(cells[0], height), min(cells[1], width)
        noise = Image.fromarray(random.random(cells).astype(np.float32))
        total += weight * np.asarray(noise.resize(SIZE, Image.Resampling.BICUBIC))
        weights += weight
        weight *= fall
    total -= total.min()
    return total / max(total.max(), 1e-9)


def between(low: Colour, high: Colour, share: Field) -> Image.Image:
    """Return a picture that is `low` where the share is 0 and `high` where it is 1."""
    values = low + (high - low) * np.clip(share, 0, 1)[..., np.newaxis]
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def grid() -> tuple[Field, Field]:
    """Return y and x, each 0..1."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    return y / height, x / width


def grained(image: Image.Image, random: Random, sigma: float) -> Image.Image:
    values = np.asarray(image, np.float64) + random.normal(0, sigma, (*SIZE[::-1], 1))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def blank(random: Random) -> Image.Image:
    tone = (
        colour(random) if random.random() < 0.5 else np.full(3, random.choice([0, 128, 250, 255]))
    )
    return grained(between(tone, tone, np.zeros(SIZE[::-1])), random, random.choice([0, 1.5]))


def noise(random: Random) -> Image.Image:
    values = random.normal(random.uniform(60, 190), random.uniform(10, 60), (*SIZE[::-1], 3))
    if random.random() < 0.5:
        values[:] = values[..., :1]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def gradient(random: Random) -> Image.Image:
    y, x = grid()
    angle = random.uniform(0, 2 * np.pi)
    share = 0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    return grained(between(colour(random), colour(random), share), random, 1)


def vignette(random: Random) -> Image.Image:
    y, x = grid()
    distance = np.hypot(x - random.uniform(0.4, 0.6), y - random.uniform(0.4, 0.6))
    light = colour(random, 150, 255)
    return grained(between(light, light * random.uniform(0.4, 0.8), distance * 1.3), random, 2)


def studio(random: Random) -> Image.Image:
    """Draw an empty studio: a seamless paper that turns from wall to table, lit from above."""
    y, x = grid()
    bend, light = random.uniform(0.5, 0.75), colour(random, 180, 250)
    wall = 0.25 + 0.5 * np.hypot(x - 0.5, y - 0.3)
    table = 0.1 + 0.6 * (y - bend)
    share = wall + (table - wall) / (1 + np.exp((bend - y) * random.uniform(10, 40)))
    return grained(between(light, light * 0.6, share), random, 2)


def clouds(random: Random) -> Image.Image:
    y, _ = grid()
    blue = np.array([60, 120, 200]) * random.uniform(0.8, 1.2)
    share = np.clip((fractal(random, 3, 4) - random.uniform(0.3, 0.6)) * 3, 0, 1)
    return between(blue, np.array([245, 245, 250]), share * 0.9 + 0.1 * y)


def dusk(random: Random) -> Image.Image:
    y, _ = grid()
    top, bottom = colour(random, 20, 110), np.array([250, random.uniform(120, 200), 110])
    return grained(
        between(top, bottom, y ** random.uniform(0.7, 2) + 0.1 * fractal(random, 2, 9)), random, 2
    )


def landscape(random: Random) -> Image.Image:
    y, _ = grid()
    image = np.asarray(clouds(random) if random.random() < 0.6 else dusk(random), np.float64)
    near, far = dull(random) * np.array([0.5, 0.8, 0.45]), np.array([150, 170, 195])
    ridges = int(random.integers(2, 5))
    for number in range(ridges):
        depth = (number + 1) / ridges
        line = (
            0.35 + 0.5 * number / ridges + 0.25 * (fractal(random, 3, 2)[:1] - 0.5) * (1.2 - depth)
        )
        tone = far + (near - far) * depth
        ground = tone * (0.7 + 0.6 * fractal(random, 12, 30))[..., np.newaxis]
        image = np.where((y > line)[..., np.newaxis], ground, image)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def sea(random: Random) -> Image.Image:
    y, _ = grid()
    horizon = random.uniform(0.3, 0.6)
    water = np.asarray(
        between(np.array([20, 60, 90]), np.array([120, 170, 190]), fractal(random, 6, 60))
    )
    return Image.fromarray(
        np.where((y > horizon)[..., np.newaxis], water, np.asarray(clouds(random)))
    )


def wood(random: Random) -> Image.Image:
    tone = np.array([random.uniform(120, 210), random.uniform(80, 140), random.uniform(40, 90)])
    rings = np.sin(fractal(random, 1.5, 6) * random.uniform(20, 60)) * 0.3 + 0.5
    return between(tone * 0.6, tone, 0.6 * rings + 0.4 * fractal(random, 3, 120))


def planks(random: Random) -> Image.Image:
    image = wood(random)
    draw, width = ImageDraw.Draw(image), int(random.integers(50, 130))
    for left in range(int(random.integers(0, width)), SIZE[0], width):
        draw.rectangle((left, 0, left + 3, SIZE[1]), fill=(45, 30, 20))
    return image


def marble(random: Random) -> Image.Image:
    _, x = grid()
    veins = np.abs(np.sin(8 * x + 9 * fractal(random, 3, 3))) ** 0.4
    return between(colour(random, 90, 150), colour(random, 210, 250), veins)


def concrete(random: Random) -> Image.Image:
    tone = dull(random)
    return grained(between(tone * 0.8, tone * 1.15, fractal(random, 5, 5)), random, 7)


def paper(random: Random) -> Image.Image:
    tone = random.uniform(190, 250) * np.array([1, 0.98, random.uniform(0.85, 1)])
    image = grained(between(tone * 0.93, tone, fractal(random, 3, 3, 8, 0.8)), random, 3)
    draw = ImageDraw.Draw(image)
    for x, y, dx, dy in random.uniform(0, 1, (400, 4)):
        start = x * SIZE[0], y * SIZE[1]
        end = start[0] + 30 * (dx - 0.5), start[1] + 30 * (dy - 0.5)
        draw.line((*start, *end), fill=tuple(int(v * 0.9) for v in tone))
    return image


def weave(random: Random) -> Image.Image:
    y, x = grid()
    threads = random.uniform(40, 140)
    over = np.sin(x * threads * np.pi * 4 / 3) * np.sin(y * threads * np.pi) > 0
    strand = np.where(over, np.sin(x * threads * 4), np.sin(y * threads * 3)) * 0.3 + 0.5
    tone = colour(random, 60, 230)
    return between(tone * 0.7, tone, strand + 0.3 * fractal(random, 4, 4))


def stripes(random: Random) -> Image.Image:
    y, x = grid()
    angle, count = random.uniform(0, np.pi), random.uniform(8, 60)
    share = np.sin((x * np.cos(angle) + y * np.sin(angle)) * count * np.pi) > 0
    return between(colour(random), colour(random), share.astype(float))


def checks(random: Random) -> Image.Image:
    y, x = grid()
    count = random.uniform(6, 24)
    share = (np.floor(x * count * 4 / 3) + np.floor(y * count)) % 2
    return grained(between(colour(random), colour(random), share), random, 3)


def bricks(random: Random) -> Image.Image:
    mortar, tone = colour(random, 150, 210), np.array([170, 80, 60]) * random.uniform(0.7, 1.2)
    image = grained(between(mortar, mortar, np.zeros(SIZE[::-1])), random, 8)
    draw, height = ImageDraw.Draw(image), int(random.integers(24, 50))
    for row, top in enumerate(range(-height, SIZE[1], height)):
        for left in range(-row % 2 * height - height, SIZE[0], 2 * height):
            shade = tone * random.uniform(0.75, 1.2)
            box = (left + 3, top + 3, left + 2 * height - 3, top + height - 3)
            draw.rectangle(box, fill=tuple(int(v) for v in np.clip(shade, 0, 255)))
    return grained(image, random, 6)


def cells(random: Random) -> Image.Image:
    """Draw pebbles: the nearest of many points decides the colour."""
    y, x = grid()
    count = int(random.integers(120, 400))
    points, tones = random.random((count, 2)), random.uniform(0, 1, count)
    first, second = np.full(SIZE[::-1], 9.0), np.full(SIZE[::-1], 9.0)
    share = np.zeros(SIZE[::-1])
    for (across, down), tone in zip(points, tones, strict=True):
        distance = np.hypot((x - across) * 4 / 3, y - down)
        share = np.where(distance < first, tone, share)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    tone = dull(random)
    return between(
        tone * 0.3, tone * 1.3, (0.4 + 0.6 * share) * np.clip((second - first) * 60, 0, 1)
    )


def grass(random: Random) -> Image.Image:
    green = np.array([60, 110, 35]) * random.uniform(0.7, 1.3)
    image = between(green * 0.4, green, fractal(random, 6, 6))
    draw = ImageDraw.Draw(image)
    for x, y, length, lean, shade in random.random((4000, 5)):
        start, end = (x * SIZE[0], y * SIZE[1] * 1.1), (30 * (lean - 0.5), 10 + 35 * length)
        fill = tuple(int(v) for v in np.clip(green * (0.5 + 1.3 * shade), 0, 255))
        draw.line((*start, start[0] + end[0], start[1] - end[1]), fill=fill, width=2)
    return image


def ripples(random: Random) -> Image.Image:
    y, _ = grid()
    waves = np.sin(y * random.uniform(40, 120) + 8 * fractal(random, 3, 3))
    sand = np.array([210, 180, 130]) * random.uniform(0.8, 1.1)
    return grained(between(sand * 0.75, sand, waves * 0.4 + 0.6), random, 6)


def bokeh(random: Random) -> Image.Image:
    image = between(colour(random, 0, 60), colour(random, 20, 120), fractal(random, 2, 2, 2))
    layer = image.copy()
    draw = ImageDraw.Draw(layer)
    radius = random.uniform(15, 40)
    for x, y in random.random((int(random.integers(30, 70)), 2)) * SIZE:
        fill = tuple(int(v) for v in colour(random, 60, 255))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    blurred = layer.filter(ImageFilter.GaussianBlur(random.uniform(3, 12)))
    return Image.blend(image, blurred, random.uniform(0.4, 0.8))


def defocused(random: Random) -> Image.Image:
    """Draw a background far out of focus."""
    values = random.uniform(0, 255, (9, 12, 3)).astype(np.uint8)
    image = Image.fromarray(values).resize(SIZE, Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(random.uniform(15, 40)))


KINDS: tuple[Callable[[Random], Image.Image], ...] = (
    blank, noise, gradient, vignette, studio, clouds, dusk, landscape, sea, wood, planks, marble,
    concrete, paper, weave, stripes, checks, bricks, cells, grass, ripples, bokeh, defocused,
)  # fmt: skip


def draw(kind: Callable[[Random], Image.Image], seed: int) -> Image.Image:
    """Return a picture (mode RGB, of SIZE) of a kind."""
    return kind(np.random.default_rng([seed, KINDS.index(kind)]))
