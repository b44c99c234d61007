// A page of another origin that logs in with @auth0/auth0-react. `gateway`, `issuer` and `audience` are the test's.
import { createRoot } from 'react-dom/client';
import { Auth0Provider, useAuth0 } from '@auth0/auth0-react';
import { MastraReactProvider } from '@mastra/react';
import { Agents } from './agents.jsx';

function Page() {
  const { isLoading, isAuthenticated, error, loginWithRedirect, getAccessTokenSilently } = useAuth0();
  if (error) return <p>{`failed: ${error.message}`}</p>;
  if (isLoading) return <p>wait</p>;
  if (!isAuthenticated) return <button onClick={() => loginWithRedirect()}>Log in</button>;
  // As docs/how-to/browser-app.md says: a token that is good at this moment, with each call.
  const withToken = async (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set('Authorization', `Bearer ${await getAccessTokenSilently()}`);
    return fetch(url, { ...init, headers });
  };
  return (
    <MastraReactProvider baseUrl={window.gateway} customFetch={withToken}>
      <Agents />
    </MastraReactProvider>
  );
}

const parameters = { redirect_uri: `${location.origin}/`, audience: window.audience };
createRoot(document.getElementById('root')).render(
  <Auth0Provider domain={window.issuer} clientId="page" authorizationParams={parameters}>
    <Page />
  </Auth0Provider>,
);
