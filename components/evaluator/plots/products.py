"""The map of products, drawn: one small circle each, coloured by category, with its name to be read on hovering."""

from markupsafe import Markup

from components.common.page import count, percent
from components.evaluator.embedding_map import OTHERS, ProductMap
from components.evaluator.plots.svg import Key, Plot

WIDTH, HEIGHT, EDGE = 600, 420, 8
NAME_LENGTH = 40


def draw(products: ProductMap) -> Plot:
    """The map at one scale for both axes."""
    low, high = products.points.min(axis=0), products.points.max(axis=0)
    middle = (low + high) / 2
    scale = min((WIDTH - 2 * EDGE) / max(high[0] - low[0], 1e-12), (HEIGHT - 2 * EDGE) / max(high[1] - low[1], 1e-12))
    x = WIDTH / 2 + (products.points[:, 0] - middle[0]) * scale
    y = HEIGHT / 2 - (products.points[:, 1] - middle[1]) * scale
    groups = []
    for category in (OTHERS, *range(len(products.categories))):  # the quiet ones lie beneath
        dots = Markup("").join(
            Markup('<use href="#product" x="{:.2f}" y="{:.2f}"><title>{}</title></use>').format(
                x[i], y[i], short(products.names[i])
            )
            for i in (products.category == category).nonzero()[0]
        )
        groups.append(Markup('<g class="s{}">{}</g>').format(category + 1, dots))
    drawing = Markup('<svg viewBox="0 0 {} {}"><defs><circle id="product" r="3"/></defs>{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(groups)
    )
    keys = [Key(name, place, count(bought)) for place, (name, bought) in enumerate(products.categories, 1)]
    rest = products.catalogue_size - sum(bought for _, bought in products.categories)
    if rest:
        keys.append(Key("other categories" if keys else "no category", 0, count(rest)))
    return Plot("Products by category", _alt(products, keys), drawing, keys, mark="dot")


def caption(products: ProductMap) -> str:
    """What the two axes hold, how many products are drawn, and how well neighbours agree."""
    drawn, first, second = len(products.points), *products.variance
    axes = f"The two axes hold {percent(first + second)} of the variance of the product embeddings"
    text = f"{axes} ({percent(first)} across, {percent(second)} up); the rest of their differences is not to be seen."
    if drawn < products.catalogue_size:
        text += f" {count(drawn)} of {count(products.catalogue_size)} products are drawn."
    if products.neighbours is not None:
        text += (
            f" In all dimensions, {percent(products.neighbours)} of the products have a nearest neighbour of their own"
            f" category; {percent(products.by_chance)} would by chance."
        )
    return text


def short(name: str) -> str:
    """A name without control characters, cut to a length that keeps the page small."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _alt(products: ProductMap, keys: list[Key]) -> str:
    listed = "; ".join(f"{key.label} {key.note}" for key in keys)
    drawn = f"Map of {count(len(products.points))} products in the plane."
    return f"{drawn} {caption(products)} Products by category: {listed}."
