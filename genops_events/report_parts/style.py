"""The style sheet of all reports: readable on paper and on a phone, in the light and in the dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #566071; --paper: #f6f7f9; --card: #fff; --line: #dfe3e9;
  --candidate: #2563a8; --champion: #b4640a; --good: #166b36; --good-tint: #eaf6ee; --bad: #ab1f18; --bad-tint: #fdf0ef; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3adba; --paper: #12161b;
  --card: #1a2027; --line: #323b46; --candidate: #74ade9; --champion: #e8a650; --good: #6bcf8f; --good-tint: #14261b;
  --bad: #f4938b; --bad-tint: #2d1a1a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, sans-serif; overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
main { max-width: 64rem; margin: 0 auto; padding: 2.5rem 1rem 5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .8rem; } h3 { font-size: 1rem; margin: 0 0 .6rem; }
p { margin: 0 0 .8rem; } .soft, th, dt { color: var(--soft); }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; unicode-bidi: isolate; }
:focus-visible { outline: 2px solid var(--candidate); outline-offset: 2px; }
.mark { width: 1em; height: 1em; vertical-align: -.12em; fill: none; stroke: currentColor; stroke-width: 2.4;
  stroke-linecap: round; stroke-linejoin: round; }
.verdict { margin: 1.4rem 0; padding: 1.1rem 1.3rem; border: 1px solid; border-left-width: .35rem; border-radius: .5rem; }
.verdict p { margin: 0; color: var(--ink); } .verdict .state { font-size: 1.4rem; font-weight: 700;
  line-height: 1.3; margin-bottom: .35rem; } .verdict .state, .outcome { color: inherit; }
.verdict.passed { color: var(--good); background: var(--good-tint); }
.verdict.refused { color: var(--bad); background: var(--bad-tint); }
.outcome { font-weight: 600; white-space: nowrap; } .outcome.passed { color: var(--good); }
.outcome.refused { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem; margin: 0; }
.tile, figure, .row, .wide { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.tile { padding: .8rem 1rem; } .tile dt { font-size: .85rem; } .tile dd { margin: 0; white-space: normal; }
.tile .big { font-size: 1.6rem; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .55rem .9rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; font-size: .9em; font-weight: 500; white-space: nowrap; }
table { overflow-wrap: break-word; } tbody th { color: inherit; font-weight: 600; max-width: 18rem; }
tbody th .soft { font-weight: 400; font-size: .92em; } .wide + p { margin-top: .8rem; } td.words { min-width: 11rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: 1rem 1.1rem; min-width: 0; } figcaption { font-size: .85rem; color: var(--soft); }
figure svg { width: 100%; max-width: 32rem; height: auto; display: block; } figure svg + svg { margin-top: .9rem; }
figure text { fill: var(--soft); font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; }
figure text.name { fill: var(--ink); } .middle { text-anchor: middle; } .right { text-anchor: end; }
.grid { stroke: var(--line); stroke-width: .75; } .axis { stroke: var(--soft); stroke-width: .75; }
.bound { stroke: var(--ink); stroke-width: 1.25; stroke-dasharray: 4 3; }
rect.candidate, circle.candidate { fill: var(--candidate); } line.candidate { stroke: var(--candidate); }
rect.champion { fill: var(--champion); fill-opacity: .22; stroke: var(--champion); stroke-width: 1.25; }
circle.champion { fill: var(--card); stroke: var(--champion); stroke-width: 2.5; }
.interval { stroke-width: 4; stroke-linecap: round; opacity: .45; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; } .key { display: inline-flex; align-items: center; gap: .45rem; }
.key::before { content: ""; width: .8rem; height: .8rem; border: 2px solid; border-radius: .15rem; }
.key.candidate::before { border-color: var(--candidate); background: var(--candidate); }
.key.champion::before { border-color: var(--champion); }
.key.bound::before { width: 0; border-width: 0 0 0 2px; border-style: dashed; border-radius: 0; }
.row { margin: 0 0 .7rem; } summary { cursor: pointer; padding: .65rem 1rem; }
summary code { font-weight: 600; }
.scores { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: .2rem 0 0 1.05rem; font-size: .92rem; }
.row dl { display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); gap: .6rem 1rem; margin: 0; padding: .8rem 1rem 1rem;
  border-top: 1px solid var(--line); }
.row dt { font-size: .9rem; } .row dd { margin: 0; } .text { white-space: pre-wrap; } .long { max-height: 14rem; overflow-y: auto; }
.row .cut { display: block; color: var(--soft); font-size: .9rem; margin-top: .4rem; }
@media (max-width: 40rem) { main { padding: 1.4rem .8rem 3rem; } figure { padding: .8rem; } th, td { padding: .5rem .6rem; }
  .row dl { grid-template-columns: minmax(0, 1fr); gap: .1rem; } .row dd { margin-bottom: .6rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile .big { font-size: 1.3rem; } .tile { padding: .7rem .8rem; } }
@media print { :root { --paper: #fff; } body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  .tiles { grid-template-columns: repeat(4, 1fr); } .tile .big { font-size: 1.2rem; } .charts { grid-template-columns: 1fr 1fr; }
  table { font-size: 9pt; } th, td { padding: .3rem .5rem; } thead th { white-space: normal; }
  .wide, .long { overflow: visible; max-height: none; } .tile, figure, tr, .verdict { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; } .key::before, .verdict { print-color-adjust: exact; } }
"""
