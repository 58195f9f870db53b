// Draws a figure's data so that they can be explored: pick, zoom, hide curves, read values. Loaded when a reader asks for it.
window.replibExplore = (figure, { columns, explore }) => {
  const box = document.createElement("div");
  box.className = "explorer";
  const color = (name) => getComputedStyle(document.body).getPropertyValue(name);
  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999", "#f0e442"];
  const format = (v) => (v == null ? "–" : Number(v).toPrecision(4));
  const make = (tag, parent, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));
  const labelled = (parent, text, control) => make("label", parent).append(control, ` ${text}`);

  const bar = make("div", box, { className: "explorer-bar" });
  const choice = document.createElement("select");
  if (explore.choose) {
    const drawn = (i) => columns[explore.x][i] != null && explore.y.some((name) => columns[name][i] != null);
    for (const value of new Set(columns[explore.choose].filter((_, i) => drawn(i)))) choice.append(new Option(`${explore.choose} = ${value}`, value));
    choice.setAttribute("aria-label", explore.choose);
    bar.append(choice);
  }
  const logs = Object.fromEntries(
    ["x", "y"].map((axis) => {
      const check = Object.assign(document.createElement("input"), { type: "checkbox", checked: explore.log.includes(axis) });
      labelled(bar, `logarithmic ${axis}`, check);
      return [axis, check];
    }),
  );
  const all = make("button", bar, { type: "button", textContent: "Show all" });
  const stage = make("div", box);
  const reader = make("input", box, { type: "range", min: 0, value: 0 });
  reader.setAttribute("aria-label", `Read values at ${explore.x}`);
  const legend = make("div", box, { className: "explorer-legend" });
  make("p", box, { className: "detail", textContent: "Drag over a part to enlarge it. The slider reads values, by keyboard too. Of several runs the mean is shown." });

  // of a logarithmic axis more than this below the top is not drawn: a decaying curve would take the whole axis
  const decades = 1e-12;
  const incrs = [1, 2, 5].flatMap((m) => Array.from({ length: 60 }, (_, k) => m * 10 ** (k - 30))).sort((a, b) => a - b);
  let plot;
  const draw = () => {
    const rows = columns[explore.x].map((_, i) => i).filter((i) => !explore.choose || String(columns[explore.choose][i]) === choice.value);
    const lowest = (names) => decades * Math.max(...rows.flatMap((i) => names.map((n) => columns[n][i] ?? -Infinity)));
    const floor = { x: logs.x.checked ? Math.max(0, lowest([explore.x])) : -Infinity, y: logs.y.checked ? Math.max(0, lowest(explore.y)) : -Infinity };
    const curves = new Map();
    for (const i of rows) {
      for (const y of explore.y) {
        const name = [explore.y.length > 1 || !explore.by ? y : "", explore.by ? `${explore.by} = ${columns[explore.by][i]}` : ""];
        const key = name.filter(Boolean).join(", ");
        if (!curves.has(key)) curves.set(key, new Map());
        const [a, b] = [columns[explore.x][i], columns[y][i]];
        if (a == null || b == null || a <= floor.x || b <= floor.y) continue;
        const [sum, count] = curves.get(key).get(a) ?? [0, 0];
        curves.get(key).set(a, [sum + b, count + 1]);
      }
    }
    const xs = [...new Set([...curves.values()].flatMap((c) => [...c.keys()]))].sort((a, b) => a - b);
    const data = [xs, ...[...curves.values()].map((c) => xs.map((x) => (c.has(x) ? c.get(x)[0] / c.get(x)[1] : null)))];
    // lines at whole decades: all of them would fill the plane
    const powers = (u, _, min, max) => {
      const found = [];
      const every = Math.ceil(Math.log10(max / min) / 8);
      for (let k = Math.ceil(Math.log10(min) - 1e-9); 10 ** k <= max * (1 + 1e-9); k += every) found.push(10 ** k);
      return found;
    };
    const axis = { stroke: color("--color-foreground-primary"), grid: { stroke: color("--color-background-border") } };
    legend.replaceChildren();
    const outputs = [];
    plot?.destroy();
    plot = new uPlot(
      {
        width: Math.max(280, figure.clientWidth), height: 320, legend: { show: false },
        scales: { x: { time: false, distr: logs.x.checked ? 3 : 1 }, y: { distr: logs.y.checked ? 3 : 1 } },
        axes: ["x", "y"].map((name) => ({
          ...axis, ...(name === "x" ? { label: explore.x } : { size: 70 }), ...(logs[name].checked ? { splits: powers, filter: (_, s) => s } : { incrs }),
          values: (_, ticks) => ticks.map((v) => (v == null ? "" : String(Number(v.toPrecision(3))))),
        })),
        series: [{}, ...[...curves.keys()].map((label, k) => ({ label, stroke: palette[k % palette.length], width: 2, spanGaps: true, dash: k < palette.length ? [] : [6, 4] }))],
        hooks: {
          ready: [read],
          setCursor: [(u) => {
            const at = u.cursor.idx;
            if (at == null) return;
            reader.value = at;
            reader.setAttribute("aria-valuetext", `${explore.x} ${format(xs[at])}`);
            outputs.forEach((output, k) => (output.textContent = format(data[k + 1][at])));
            where.textContent = `${explore.x} = ${format(xs[at])}`;
          }],
        },
      },
      data,
      stage,
    );
    const where = make("output", legend);
    [...curves.keys()].forEach((label, k) => {
      const check = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
      check.addEventListener("input", () => plot.setSeries(k + 1, { show: check.checked }));
      const item = make("label", legend);
      item.style.borderLeft = `4px solid ${palette[k % palette.length]}`;
      outputs.push(make("output", item));
      item.prepend(check, ` ${label} `);
    });
  };
  function read(u) {
    const shown = u instanceof uPlot ? u : plot;
    reader.max = shown.data[0].length - 1;
    shown.setCursor({ left: shown.valToPos(shown.data[0][reader.value], "x"), top: 10 });
  }
  reader.addEventListener("input", read);
  all.addEventListener("click", draw);
  for (const control of [choice, logs.x, logs.y]) control.addEventListener("input", draw);
  figure.append(box);
  draw();
  return box;
};
