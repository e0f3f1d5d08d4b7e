/** What an organisation has stored about its apps. */
type Apps = {
  ios_app_ids: string[]
  android_package: string | null
  android_fingerprints: string[]
}

/**
 * The file by which Apple’s devices open an organisation’s links in its app: `/link/<code>`, and none of the parts below a
 * code. Null where there is no app.
 *
 * @see https://developer.apple.com/documentation/xcode/supporting-associated-domains
 */
export function appleAssociation({ ios_app_ids: appIDs }: Apps): object | null {
  if (appIDs.length === 0) return null
  const components = [{ '/': '/link/*/?*', exclude: true }, { '/': '/link/*' }]
  return { applinks: { details: [{ appIDs, components }] } }
}

/**
 * The file by which Android opens an organisation’s links in its app. Null where there is no app or no fingerprint.
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
