"""What a person sees of a page, measured: colours, overlaps, what sticks out, what was said on the console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page

_TEXTS = """
const texts = [];
for (const node of document.querySelectorAll('main *')) {
  const own = [...node.childNodes].some(one => one.nodeType === Node.TEXT_NODE && one.data.trim());
  if (own && node.tagName !== 'title' && node.getClientRects().length) texts.push(node);
}
"""

_CONTRAST = (
    """paper => {
const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {r, g, b, a}; };
const over = (top, under) => ({a: 1, ...Object.fromEntries(
  ['r', 'g', 'b'].map(one => [one, top[one] * top.a + under[one] * (1 - top.a)]))});
const light = ({r, g, b}) => [r, g, b].map(one => one / 255)
  .map(one => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4)
  .reduce((sum, one, at) => sum + one * [.2126, .7152, .0722][at], 0);
const ratio = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x); return (a + .05) / (b + .05); };
const behind = node => { const layers = [];
  for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((under, layer) => over(layer, under), parse('rgb(255, 255, 255)')); };
const faded = node => { let seen = 1;
  for (let at = node; at; at = at.parentElement) seen *= Number(getComputedStyle(at).opacity); return seen; };
"""
    + _TEXTS
    + """
const shapes = [...document.querySelectorAll('figure rect, figure circle, figure .bound, .key')];
const measured = (node, colour) => { const under = paper ? parse(paper) : behind(node), ink = parse(colour);
  return {what: node.tagName + '.' + node.getAttribute('class') + ' ' + node.textContent.slice(0, 40),
    ratio: ratio(over({...ink, a: ink.a * faded(node)}, under), under)}; };
return {
  texts: texts.map(node => { const style = getComputedStyle(node);
    return measured(node, node instanceof SVGElement ? style.fill : style.color); }),
  shapes: shapes.map(node => { const style = getComputedStyle(node, node.matches('.key') ? '::before' : null);
    const drawn = node.matches('.key') ? style.borderLeftColor : style.stroke === 'none' ? style.fill : style.stroke;
    return measured(node, drawn); }),
}; }"""
)

_STICKING_OUT = (
    """() => {"""
    + _TEXTS
    + """
return texts.filter(node => !node.closest('.wide'))
  .filter(node => { const box = node.getBoundingClientRect(); return box.left < -0.5 || box.right > innerWidth + 0.5; })
  .map(node => node.tagName + ' ' + node.textContent.slice(0, 40)); }"""
)

_CHART_TEXTS = """() => [...document.querySelectorAll('figure svg')].map(svg => {
  const box = svg.getBoundingClientRect();
  const all = what => [...svg.querySelectorAll(what)].map(node => ({node, at: node.getBoundingClientRect()}));
  const texts = all('text'), shapes = all('rect, circle, line');
  const inside = ({at}) => at.left >= box.left - 1 && at.right <= box.right + 1 && at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  return {
    label: svg.getAttribute('aria-label'), width: box.width, height: box.height, left: box.left, right: box.right,
    scale: svg.getScreenCTM().a * parseFloat(getComputedStyle(texts[0].node).fontSize),
    outside: [...texts, ...shapes].filter(one => !inside(one)).map(one => one.node.outerHTML),
    overlapping: texts.flatMap((one, index) => [...texts.slice(index + 1), ...shapes.filter(({node}) => node.matches('rect, circle'))]
      .filter(other => meet(one.at, other.at)).map(other => one.node.outerHTML + ' | ' + other.node.outerHTML)),
  }; })"""


@dataclass
class Seen:
    """A page with all that it did while it was open."""

    page: Page
    address: str
    noise: list[str] = field(default_factory=list)
    """What the console, an uncaught error or a dialog said."""
    requests: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Go to the page."""
        self.page.on("console", lambda message: self.noise.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.goto(self.address)

    def contrast(self, *, paper: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return the contrast (WCAG 2.2) of every text, and of every shape in a chart.

        Args:
            paper: the colour behind everything; None for what the page paints.
        """
        return self.page.evaluate(_CONTRAST, paper)

    def sticking_out(self) -> list[str]:
        """Return the texts that reach beyond the window; tables scroll by themselves."""
        return self.page.evaluate(_STICKING_OUT)

    def charts(self) -> list[dict[str, Any]]:
        """Return size and place of each chart, the height of its letters in pixels, what of it is cut off, and what collides."""
        return self.page.evaluate(_CHART_TEXTS)

    def scrolls_sideways(self) -> bool:
        """Return whether the whole page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")

    def cells(self, table: str) -> list[list[str]]:
        """Return the texts of a table's rows, found by the name that a screen reader says."""
        rows = self.page.get_by_role("table", name=table, exact=True).get_by_role("row")
        cells = "row => [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim())"
        return [row.evaluate(cells) for row in rows.all()]

    def centre(self, selector: str) -> float:
        """Return how far right the middle of something stands, in pixels."""
        return self.page.locator(selector).evaluate(
            "node => { const box = node.getBoundingClientRect(); return (box.left + box.right) / 2; }"
        )
