// What the browser's tab says: the answer first, so that it can be read without looking at the page.
import { useEffect } from "react";

export function useTitle(answer: string): void {
  useEffect(() => {
    document.title = `${answer} · golden signals`;
  }, [answer]);
}
