/** The apps that an organisation has stored. */
type Apps = {
  ios_app_ids: string[]
  android_package: string | null
  android_fingerprints: string[]
}

/**
 * The file that lets Apple’s devices open an organisation’s links in its app: `/link/<code>`, but no path below a code.
 * Null without an app.
 *
 * @see https://developer.apple.com/documentation/xcode/supporting-associated-domains
 */
export function appleAssociation({ ios_app_ids: appIDs }: Apps): object | null {
  if (appIDs.length === 0) return null
  const components = [{ '/': '/link/*/?*', exclude: true }, { '/': '/link/*' }]
  return { applinks: { details: [{ appIDs, components }] } }
}

/**
 * The file that lets Android open an organisation’s links in its app. Null without an app or a fingerprint.
 *
 * @see https://developers.google.com/digital-asset-links/v1/getting-started
 */
export function androidAssociation(apps: Apps): object | null {
  const { android_package: name, android_fingerprints: fingerprints } = apps
  if (!name || fingerprints.length === 0) return null
  const target = {
    namespace: 'android_app',
    package_name: name,
    sha256_cert_fingerprints: fingerprints,
  }
  return [{ relation: ['delegate_permission/common.handle_all_urls'], target }]
}
