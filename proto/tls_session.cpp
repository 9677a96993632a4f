// SPDX-License-Identifier: Apache-2.0
#include "proto/tls_session.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/ip.h"

namespace margay::transport {
namespace {

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Context = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;

constexpr std::array<unsigned char, 3> kHttp2{2, 'h', '2'};  // ALPN's form: lengths and names

Bio memory(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

Error openssl_error(const std::string& what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return make_error(Code::refused, "TLS: " + what + ": " + (reason ? reason : "no reason given"));
}

Certificate next_certificate(BIO* bio) {
  Certificate c(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), &X509_free);
  ERR_clear_error();  // the end of the text is one
  return c;
}

Result<void> trust(SSL_CTX* context, const std::string& ca) {
  const Bio bio = memory(ca);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  while (const auto c = next_certificate(bio.get())) {
    if (X509_STORE_add_cert(store, c.get()) != 1) return openssl_error("CA certificate");
  }
  return {};
}

Result<void> identify(SSL_CTX* context, const TlsMaterial& m) {
  const Bio certificates = memory(m.cert);
  const auto own = next_certificate(certificates.get());
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) {
    return openssl_error("own certificate");
  }
  while (auto c = next_certificate(certificates.get())) {
    if (SSL_CTX_add0_chain_cert(context, c.get()) != 1) return openssl_error("certificate chain");
    (void)c.release();  // the context's now
  }
  const Bio bio = memory(m.key);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return openssl_error("own key");
  return {};
}

std::string common_name(X509* certificate) {
  std::array<char, 256> text{};
  const int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                          text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string();
}

std::vector<std::string> uris(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  std::vector<std::string> out;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    const auto* text = ASN1_STRING_get0_data(uri);
    out.emplace_back(text, text + ASN1_STRING_length(uri));
  }
  return out;
}

}  // namespace

struct TlsSession::Impl {
  TlsFiles expected;
  Context context{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, void (*)(SSL*)> ssl{nullptr, &SSL_free};
  BIO* in = nullptr;   // the SSL's
  BIO* out = nullptr;  //
  bool established = false;

  Result<void> handshake() {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl.get());
    if (done == 1) return judge();
    const int why = SSL_get_error(ssl.get(), done);
    if (why == SSL_ERROR_WANT_READ) return {};
    const long verdict = SSL_get_verify_result(ssl.get());
    if (verdict == X509_V_OK) return openssl_error("handshake");
    ERR_clear_error();
    return make_error(Code::refused, std::string("TLS: peer certificate: ") +
                                         X509_verify_cert_error_string(verdict));
  }

  // The chain has been verified; what is left is whether it is the peer that we were told to talk
  // to, and whether it speaks what we do.
  Result<void> judge() {
    const Certificate peer(SSL_get1_peer_certificate(ssl.get()), &X509_free);
    if (!peer) return make_error(Code::refused, "TLS: the peer has shown no certificate");
    MARGAY_CHECK(expected.check_peer(common_name(peer.get()), uris(peer.get())));
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl.get(), &protocol, &size);
    if (!std::equal(protocol, protocol + size, kHttp2.begin() + 1, kHttp2.end())) {
      return make_error(Code::refused, "TLS: the peer does not speak HTTP/2");
    }
    established = true;
    return {};
  }

  Result<void> read(std::string* plain) {
    std::array<char, 16 * 1024> chunk;  // a record is no longer
    for (;;) {
      ERR_clear_error();
      const int n = SSL_read(ssl.get(), chunk.data(), static_cast<int>(chunk.size()));
      if (n > 0) {
        plain->append(chunk.data(), static_cast<std::size_t>(n));
        continue;
      }
      const int why = SSL_get_error(ssl.get(), n);
      if (why == SSL_ERROR_WANT_READ) return {};
      if (why == SSL_ERROR_ZERO_RETURN) {
        return make_error(Code::unavailable, "the server has closed the connection");
      }
      return openssl_error("connection");
    }
  }
};

TlsSession::TlsSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsSession::TlsSession(TlsSession&&) noexcept = default;
TlsSession& TlsSession::operator=(TlsSession&&) noexcept = default;
TlsSession::~TlsSession() = default;

Result<TlsSession> TlsSession::client(const TlsKeeper& keeper, const std::string& host) {
  auto impl = std::make_unique<Impl>();
  impl->expected = keeper.files();
  impl->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = impl->context.get();
  if (context == nullptr) return openssl_error("context");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  MARGAY_CHECK(trust(context, keeper.in_force().ca));
  MARGAY_CHECK(identify(context, keeper.in_force()));
  impl->ssl.reset(SSL_new(context));
  SSL* ssl = impl->ssl.get();
  if (ssl == nullptr) return openssl_error("connection");
  impl->in = BIO_new(BIO_s_mem());
  impl->out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, impl->in, impl->out);
  SSL_set_connect_state(ssl);
  SSL_set_alpn_protos(ssl, kHttp2.data(), kHttp2.size());
  if (!host.empty() && !Ip::parse(host).ok()) {  // SSL_set_tlsext_host_name, without its casts
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));
  }
  MARGAY_CHECK(impl->handshake());  // our greeting
  return TlsSession(std::move(impl));
}

Result<void> TlsSession::receive(std::string_view bytes, std::string* plain) {
  BIO_write(impl_->in, bytes.data(), static_cast<int>(bytes.size()));
  if (!impl_->established) MARGAY_CHECK(impl_->handshake());
  return impl_->established ? impl_->read(plain) : Result<void>();
}

Result<void> TlsSession::send(std::string_view plain) {
  if (plain.empty()) return {};
  ERR_clear_error();
  const int n = SSL_write(impl_->ssl.get(), plain.data(), static_cast<int>(plain.size()));
  return n > 0 ? Result<void>() : openssl_error("connection");  // memory takes all or fails
}

std::string TlsSession::take_output() {
  std::string out(BIO_ctrl_pending(impl_->out), '\0');
  const int n = out.empty() ? 0 : BIO_read(impl_->out, out.data(), static_cast<int>(out.size()));
  out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return out;
}

bool TlsSession::established() const { return impl_->established; }

}  // namespace margay::transport
