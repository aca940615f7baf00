// The list beside the picture: names, heights, distances, what is wrong, and what the model says.
import { useLayoutEffect, useRef } from "./vendor/hooks.js";
import { html } from "./html.js";
import { depthOf, percent, t, whole } from "./i18n.js";
import {
  at, figuresOf, idOf, inserted, mayRemove, PRESETS_CM, put, removed, renamed, withGauge, withGround,
  withMark, without,
} from "./editor_drawing.js";

/**
 * @param preview what the newest picture says about each zone, by name.
 * @param problems see editor_checks.js.
 * @param act {select, change(drawing, isLast, {isNew, what}), startSketch(isByKey)}.
 */
export function Panel({ drawing, selected, problems, preview, act }) {
  const shared = { drawing, selected, problems, act };
  const add = (next) => act.change(next, true, { isNew: true });
  return html`<div class="ed-panel">
    <${Section} title=${t("editor.zones")} hint=${drawing.zones.length ? "" : t("editor.zones.none")}>
      ${drawing.zones.map((zone, i) => html`<${Zone} key=${i} index=${i} zone=${zone}
        reading=${preview?.[zone.name]} ...${shared} />`)}
      <div class="ed-adds"><button type="button" data-add="zone"
        onClick=${(event) => act.startSketch(event.detail === 0 && !event.pointerType)}>+ ${t("editor.zone.add")}</button></div>
    <//>
    <${Section} title=${t("editor.gauges")} hint=${t("editor.gauges.hint")}>
      ${drawing.gauges.map((gauge, i) => html`<${Gauge} key=${i} index=${i} gauge=${gauge} ...${shared} />`)}
      <div class="ed-adds">${["line", "spots", "staff"].map((kind) => html`<button type="button" key=${kind}
        data-add=${kind} onClick=${() => add(withGauge(drawing, kind))}>+ ${t(`editor.${kind}.add`)}</button>`)}</div>
    <//>
    <${Section} title=${t("editor.ground")} hint=${t("editor.ground.hint")}>
      ${drawing.ground
    ? html`<${Ground} ground=${drawing.ground} ...${shared} />`
    : html`<div class="ed-adds"><button type="button" data-add="ground"
        onClick=${() => add(withGround(drawing))}>+ ${t("editor.ground.add")}</button></div>`}
    <//></div>`;
}

function Section({ title, hint, children }) {
  return html`<section><h2>${title}</h2>${hint && html`<p class="quiet">${hint}</p>`}${children}</section>`;
}

/** What one thing has to say, from the checks here and from the daemon. */
function Problems({ problems, id }) {
  const own = problems.filter((one) => one.id === id);
  return html`<div id=${`ed-problems-${id}`}>${own.map((one) => html`<p class="problem" key=${one.text}>
    ⚠ ${one.said ?? t(`editor.problem.${one.text}`, one.values)}</p>`)}</div>`;
}

function Item({ id, selected, problems, act, name, onName, onRemove, children }) {
  const isWrong = problems.some((one) => one.id === id);
  const isSelected = `${selected}.`.startsWith(`${id}.`);
  return html`<fieldset class=${isSelected ? "selected" : ""} data-item=${id}
    onFocusIn=${() => { if (!isSelected) act.select(id); }}>
    <div class="ed-name"><label>${t("editor.name")}
      <input value=${name} maxlength="63" spellcheck=${false} autocapitalize="off" aria-invalid=${isWrong}
        aria-describedby=${`ed-problems-${id}`} onInput=${(event) => onName(event.target.value)} /></label>
      <button type="button" data-remove=${id} aria-label=${t("editor.remove", { name })}
        onClick=${onRemove}>✕</button></div>
    <${Problems} problems=${problems} id=${id} />${children}</fieldset>`;
}

function Zone({ index, zone, reading, drawing, ...shared }) {
  const id = `zones.${index}`;
  const { act } = shared;
  const figure = figuresOf(drawing).find((one) => idOf(one) === id);
  return html`<${Item} id=${id} name=${zone.name} ...${shared}
    onName=${(name) => act.change(renamed(drawing, index, name), true, { what: id })}
    onRemove=${() => act.change(without(drawing, ["zones", index]), true)}>
    <p class="ed-reading" data-reading=${zone.name}>${reading
    ? [t("editor.water", { share: percent(reading.water_fraction) }), depthOf(reading.depth),
      reading.area_m2 === null ? "" : `${whole(reading.area_m2)} m²`].filter(Boolean).join(" · ")
    : "–"}</p>
    <p class="quiet">${t("editor.corners", { count: zone.points.length })}
      <button type="button" aria-label=${t("editor.corner.add", { name: zone.name })}
        onClick=${() => act.change(inserted(drawing, figure, zone.points.length - 1), true)}>+</button>
      <button type="button" aria-label=${t("editor.corner.remove", { name: zone.name })}
        disabled=${!mayRemove(figure)}
        onClick=${() => act.change(removed(drawing, figure, zone.points.length - 1), true)}>−</button></p><//>`;
}

function Gauge({ index, gauge, drawing, ...shared }) {
  const id = `gauges.${index}`;
  const { act } = shared;
  const set = (path, value) => act.change(put(drawing, ["gauges", index, ...path], value), true, { what: `${id} ${path}` });
  const remove = (path) => act.change(without(drawing, ["gauges", index, ...path]), true);
  const zones = drawing.zones.map(({ name }) => name);
  return html`<${Item} id=${id} name=${gauge.name} ...${shared} onName=${(name) => set(["name"], name)}
    onRemove=${() => remove([])}>
    ${(zones.length > 1 || gauge.zone !== undefined) && html`<label>${t("editor.gauge.zone")}
      <select value=${gauge.zone ?? ""} onChange=${(event) => set(["zone"], event.target.value || undefined)}>
        ${zones.length < 2 && html`<option value="">–</option>`}
        ${!zones.includes(gauge.zone) && gauge.zone && html`<option>${gauge.zone}</option>`}
        ${zones.map((name) => html`<option key=${name}>${name}</option>`)}</select></label>`}
    ${(gauge.marks ?? []).map((mark, j) => html`<${Mark} key=${j} mark=${mark}
      set=${(value) => set(["marks", j], value)} remove=${() => remove(["marks", j])} />`)}
    ${gauge.marks && html`<div class="ed-adds">${["line", "spots"].map((kind) => html`<button type="button"
      key=${kind} onClick=${() => act.change(withMark(drawing, index, kind), true)}>+ ${
      t(`editor.mark.${kind}`)}</button>`)}</div>`}
    ${gauge.staff && html`<div class="ed-numbers">
      <${Length} name=${t("editor.staff.bottom")} unit="cm" value=${gauge.staff.bottom_cm ?? 0}
        set=${(cm) => set(["staff", "bottom_cm"], cm)} />
      <${Length} name=${t("editor.staff.top")} unit="cm" value=${gauge.staff.top_cm}
        set=${(cm) => set(["staff", "top_cm"], cm)} /></div>`}<//>`;
}

function Mark({ mark, set, remove }) {
  const kind = mark.line ? "line" : "spots";
  const { preset, depth_cm: cm, ...place } = mark;
  const choose = (value) => set(value ? { ...place, preset: value } : { ...place, depth_cm: cm ?? PRESETS_CM[preset] });
  return html`<div class="ed-mark"><span>${t(`editor.mark.${kind}`)}</span>
    <label><span class="hidden-text">${t("editor.height")}</span>
      <select value=${preset ?? ""} onChange=${(event) => choose(event.target.value)}>
        ${Object.entries(PRESETS_CM).map(([name, height]) => html`<option key=${name} value=${name}>${
          t(`editor.preset.${name}`)} (${height} cm)</option>`)}
        <option value="">${t("editor.height.own")}</option></select></label>
    ${!preset && html`<${Length} name=${t("editor.height")} unit="cm" value=${cm}
      set=${(value) => set({ ...place, depth_cm: value })} />`}
    <button type="button" aria-label=${t("editor.mark.remove")} onClick=${remove}>✕</button></div>`;
}

const SIDES = ["1–2", "2–3", "3–4", "4–1"];

function Ground({ ground, drawing, selected, problems, act }) {
  const set = (path, value) => act.change(put(drawing, ["ground", ...path], value), true, { what: `ground ${path}` });
  const measure = (how) => {
    const { points } = ground;
    const next = how === "metres"
      ? { points, metres: [[0, 0], [3, 0], [3, 10], [0, 10]] }
      : { points, sides_m: [3, 10, 3, 10], diagonal_m: 10.4 };
    act.change(put(drawing, ["ground"], next), true);
  };
  return html`<fieldset class=${selected === "ground" ? "selected" : ""} data-item="ground"
    onFocusIn=${() => act.select("ground")}>
    <div class="ed-name"><label>${t("editor.ground.how")}
      <select value=${ground.metres ? "metres" : "sides"} onChange=${(event) => measure(event.target.value)}>
        <option value="sides">${t("editor.ground.sides")}</option>
        <option value="metres">${t("editor.ground.metres")}</option></select></label>
      <button type="button" aria-label=${t("editor.remove", { name: t("editor.ground") })}
        onClick=${() => act.change(without(drawing, ["ground"]), true)}>✕</button></div>
    <${Problems} problems=${problems} id="ground" />
    <div class="ed-numbers">${ground.metres
    ? ground.metres.flatMap((_, i) => ["x", "y"].map((axis, j) => html`<${Length} key=${`${i}${axis}`}
        name=${`${i + 1} ${axis}`} unit="m" value=${at(ground, ["metres", i, j])}
        set=${(m) => set(["metres", i, j], m)} />`))
    : [...SIDES.map((name, i) => html`<${Length} key=${name} name=${name} unit="m" value=${ground.sides_m[i]}
        set=${(m) => set(["sides_m", i], m)} />`),
      html`<${Length} key="diagonal" name="1–3" unit="m" value=${ground.diagonal_m}
        set=${(m) => set(["diagonal_m"], m)} />`]}</div></fieldset>`;
}

/** A number; what is none yet is kept as null, and said to be wrong. */
function Length({ name, unit, value, set }) {
  const field = useRef(null);
  // Written only where it says another number: "10." and "-0" are on the way to 10.05 and -0.5.
  useLayoutEffect(() => {
    if (numberIn(field.current) !== (value ?? null)) field.current.value = value ?? "";
  });
  return html`<label class="ed-length">${name} <input ref=${field} type="number" step="any"
    onInput=${() => set(numberIn(field.current))} /> ${unit}</label>`;
}

function numberIn(field) {
  return field.value === "" ? null : Number(field.value) + 0; // no -0
}
