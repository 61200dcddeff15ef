# SPDX-License-Identifier: Apache-2.0
"""A line chart as SVG, with nothing but the standard library: a logarithmic x axis, one line a side."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 680, 360, 70, 40, 170, 50
COLOURS = ("#1f6f8b", "#c8553d", "#6b8f3c")


def ticks(highest):
    """Up to six round numbers from 0 on."""
    step = 10 ** math.floor(math.log10(highest / 2))
    for factor in (1, 2, 5, 10):
        if highest / (step * factor) <= 6:
            return [step * factor * i for i in range(int(highest / (step * factor)) + 2)]
    return [0, highest]


def chart(title, x_name, y_name, sides):
    """sides: name -> [(x, y), ...]"""
    xs = sorted({x for points in sides.values() for x, _ in points})
    marks = ticks(max(y for points in sides.values() for _, y in points))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at_x(x):
        return LEFT + width * math.log2(x / xs[0]) / math.log2(xs[-1] / xs[0])

    def at_y(y):
        return TOP + height * (1 - y / marks[-1])

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>']
    for y in marks:
        out.append(f'<path d="M{LEFT} {at_y(y):.1f}h{width}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{at_y(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in xs:
        out.append(f'<text x="{at_x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    out.append(f'<text x="{LEFT + width / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_name)}</text>')
    out.append(f'<text transform="translate(18 {TOP + height / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>')
    for colour, (name, points) in zip(COLOURS, sides.items()):
        line = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        x, y = points[-1]
        out.append(f'<text x="{at_x(x) + 8:.1f}" y="{at_y(y) + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(out) + "\n</svg>\n"
