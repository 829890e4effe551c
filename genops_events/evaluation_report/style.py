"""The report's style sheet: readable on paper and on a phone, in the light and in the dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --line: #d5dae1; --soft: #f4f6f8;
  --candidate: #2563a8; --champion: #c77a12; --good: #1d7a3e; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --paper: #15191f; --line: #3a424d; --soft: #1f252d;
  --candidate: #6ea8e6; --champion: #e6a44c; --good: #5bc27f; --bad: #f0857d; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 0 0 .3rem; }
.verdict { border-left: .3rem solid; padding: .5rem .8rem; background: var(--soft); }
.verdict.passed, td.passed { color: var(--good); } .verdict.refused, td.refused { color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; padding: .8rem; border: 1px solid var(--line); border-radius: .3rem; }
figcaption { font-size: .85rem; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; }
svg .count { text-anchor: middle; } svg .right { text-anchor: end; }
svg .axis { stroke: var(--line); } svg .interval { stroke-width: 3; }
rect.candidate, circle.candidate { fill: var(--candidate); } rect.champion, circle.champion { fill: var(--champion); }
line.candidate { stroke: var(--candidate); } line.champion { stroke: var(--champion); }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .3em; }
.key.candidate::before { background: var(--candidate); } .key.champion::before { background: var(--champion); }
.key { margin-right: 1rem; }
.row { border-bottom: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
dl { display: grid; grid-template-columns: minmax(6rem, 9rem) 1fr; gap: .2rem .8rem; margin: .5rem 0; }
dt { opacity: .75; } dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
