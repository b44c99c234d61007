"""The status page in a real browser (Chromium by Playwright)."""
