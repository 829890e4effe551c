"""What the comparison's report draws beside what all reports have."""

STYLE = """
:root { --half: #8a5200; --half-tint: #fdf4e3; }
@media screen and (prefers-color-scheme: dark) { :root { --half: #e8b45c; --half-tint: #2b2212; } }
.verdict.partly { color: var(--half); background: var(--half-tint); }
main { max-width: 80rem; } .who { display: inline-block; max-width: 100%; white-space: normal; } .who bdi { font-weight: 600; }
.no { display: inline-block; min-width: 1.7em; padding: 0 .35em; border-radius: .8em; border: 1px solid var(--soft);
  font-size: .82em; line-height: 1.5; text-align: center; font-variant-numeric: tabular-nums; color: var(--ink); }
.trade { display: grid; grid-template-columns: minmax(0, 33rem) minmax(0, 1fr); gap: 1.2rem 2rem; align-items: start; }
.trade ul, .answers { list-style: none; margin: 0; padding: 0; } .trade ul { columns: 15rem; column-gap: 1.6rem; }
.trade li { margin: 0 0 .45rem; break-inside: avoid; } .trade li .soft { display: block; margin-left: 2.2em; font-size: .9rem; }
.trade figcaption { margin-top: .5rem; }
circle.best { fill: var(--candidate); } line.best { stroke: var(--candidate); }
circle.other { fill: var(--card); stroke: var(--soft); stroke-width: 2; } line.other { stroke: var(--soft); }
.interval.best, .interval.other { stroke-width: 3; } .interval.crowded { stroke-width: 1.5; }
.front { fill: none; stroke: var(--candidate); stroke-width: 1; stroke-dasharray: 2 3; }
.leader { stroke: var(--soft); stroke-width: .6; }
.key.best::before { border-color: var(--candidate); background: var(--candidate); border-radius: 50%; }
.key.other::before { border-color: var(--soft); border-radius: 50%; }
.more { margin-top: 1rem; } .tiles + p { margin-top: 1rem; }
th, td { padding: .55rem; } tbody th { min-width: 8rem; } td.what { min-width: 13rem; } td .soft { font-size: .92em; } td.what p { margin: .35rem 0 0; } th .outcome { font-size: .92em; }
.files { display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); gap: .3rem 1rem; margin: 0; } .files dd { margin: 0; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: .7rem;
  padding: 0 1rem 1rem; }
.answer { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .75rem; min-width: 0; }
.answer.none { border-style: dashed; } .answer p { margin: 0 0 .35rem; }
.givers { margin: 0 0 .3rem; font-size: .92rem; } .givers .who { margin-right: .5rem; }
.tag { font-size: .85rem; font-weight: 600; } .tag.passed { color: var(--good); } .tag.refused { color: var(--bad); }
p, .who, .text:not(.long), td { overflow: clip; overflow-clip-margin: .3em; }
mark { background: none; color: inherit; text-decoration: underline 2px var(--champion); text-underline-offset: 3px;
  font-weight: 600; }
.said { font-size: .92rem; margin-top: .4rem; } .said summary { padding: 0; color: var(--soft); }
.row .said dl { display: block; border: 0; padding: .3rem 0 0; } .row .said dd { margin: 0 0 .4rem; }
@media (max-width: 62rem) { .trade { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 40rem) { .files { grid-template-columns: minmax(0, 1fr); gap: .1rem; } .files dd { margin-bottom: .5rem; }
  .answers { padding: 0 .8rem .8rem; } .answer { padding: .5rem .6rem; } }
@media print { .trade { grid-template-columns: minmax(0, 1.4fr) minmax(0, 1fr); } .trade ul { columns: 8rem; }
  .answers { grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); } tbody th { min-width: 0; } td.what { min-width: 9rem; }
  table { font-size: 8pt; } th, td { padding: .25rem .3rem; } thead th, tbody th, td.what { overflow-wrap: anywhere; }
  td.what { width: 22%; } .number { white-space: normal; } .wide { border: 0; }
  mark { print-color-adjust: exact; } }
"""
