"use strict";
(() => {
  const PAPER_WIDTH = 660, NARROW = 560;
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const box = (figure) => document.getElementById("figure-" + figure.id);

  // "var(--ink)" becomes the colour that the page has for it now.
  const filled = (node, css) => {
    if (typeof node === "string") {
      const name = /^var\((--[a-z0-9-]+)\)$/.exec(node);
      return name ? css.getPropertyValue(name[1]).trim() : node;
    }
    if (Array.isArray(node)) return node.map((child) => filled(child, css));
    if (node && typeof node === "object")
      return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, filled(child, css)]));
    return node;
  };

  const shared = (narrow) => {
    const axis = {
      gridcolor: "var(--grid)", linecolor: "var(--rule)", tickcolor: "var(--rule)", zeroline: false, showline: true,
      ticks: "outside", ticklen: 4, automargin: true, title: { font: { size: 12 }, standoff: 10 },
    };
    return {
      template: { layout: { xaxis: axis, yaxis: axis } },
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12, color: "var(--ink)" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: narrow ? 44 : 56, r: narrow ? 8 : 16, t: 28, b: 44 },
      hoverlabel: { bgcolor: "var(--wash)", bordercolor: "var(--rule)", font: { color: "var(--ink)", size: 12 }, align: "left" },
      legend: { font: { size: narrow ? 11 : 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "var(--faint)", activecolor: "var(--ink)" },
      dragmode: narrow ? false : "zoom", // a finger that scrolls the page must not zoom a plot
    };
  };

  const draw = (figure, printing) => {
    const target = box(figure), css = getComputedStyle(root);
    const narrow = !printing && target.clientWidth < NARROW;
    const base = shared(narrow), own = { ...figure.layout, ...(narrow ? figure.narrow : {}) };
    const layout = { ...base, height: figure.height, ...own, legend: { ...base.legend, ...own.legend } };
    layout.autosize = !printing;
    layout.width = printing ? PAPER_WIDTH : undefined;
    target.dataset.narrow = narrow;
    const config = { displaylogo: false, responsive: true,
                     modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
    if (narrow || printing) config.displayModeBar = false;
    Plotly.react(target, filled(figure.data, css), filled(layout, css), config);
    target.style.minHeight = "";
    target.dataset.drawn = figure.id;
  };
  const drawAll = (printing = false) => figures.forEach((figure) => draw(figure, printing));

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const narrow = target.clientWidth < NARROW;
    if ("print" in root.dataset || String(narrow) === target.dataset.narrow) return;
    requestAnimationFrame(() => draw(figures.find((figure) => box(figure) === target), false));
  }));
  figures.forEach((figure) => observer.observe(box(figure)));

  // Paper is white and narrow, whatever the screen is.
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    drawAll(true);
  });
  addEventListener("afterprint", () => { delete root.dataset.print; drawAll(); });
})();
