"""The status page, and Mastra's Studio behind the gateway, in a real browser (Chromium by Playwright)."""
