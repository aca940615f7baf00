// How wide an element is now, so that a drawing has the size of its place and text its own.
import { useLayoutEffect, useRef, useState } from "../vendor/hooks.js";

const LEAST_PX = 240;

/** Returns [ref, width in pixels]. */
export function useWidth() {
  const box = useRef(null);
  const [width, setWidth] = useState(640);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(LEAST_PX, entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return [box, width];
}
