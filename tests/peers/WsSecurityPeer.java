import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.xml.crypto.XMLStructure;
import javax.xml.crypto.dom.DOMStructure;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.Reference;
import javax.xml.crypto.dsig.SignedInfo;
import javax.xml.crypto.dsig.Transform;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMSignContext;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.crypto.dsig.keyinfo.KeyInfo;
import javax.xml.crypto.dsig.keyinfo.KeyInfoFactory;
import javax.xml.crypto.dsig.spec.C14NMethodParameterSpec;
import javax.xml.crypto.dsig.spec.ExcC14NParameterSpec;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.w3c.dom.Document;
import org.w3c.dom.Element;

/**
 * Another implementation of XML Signature, for SOAP messages that it signs or verifies.
 *
 * <p>sign IN OUT PKCS12 PASSWORD METHOD DIGEST KEYINFO [PREFIX...] puts a signature over wsu:Timestamp and soap:Body into
 * the wsse:Security; KEYINFO is token, certificate or serial. verify IN PKCS12 PASSWORD prints the ids of what is signed.
 */
public final class WsSecurityPeer {
    private static final String SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
    private static final String OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-";
    private static final String WSSE = OASIS + "wssecurity-secext-1.0.xsd";
    private static final String WSU = OASIS + "wssecurity-utility-1.0.xsd";
    private static final String X509V3 = OASIS + "x509-token-profile-1.0#X509v3";
    private static final String BASE64 = OASIS + "soap-message-security-1.0#Base64Binary";

    private WsSecurityPeer() {}

    public static void main(String[] arguments) throws Exception {
        boolean signs = arguments[0].equals("sign");
        Document document = read(arguments[1]);
        Element timestamp = identified(document, WSU, "Timestamp");
        Element body = identified(document, SOAP, "Body");
        int store = signs ? 3 : 2;
        char[] password = arguments[store + 1].toCharArray();
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream file = new FileInputStream(arguments[store])) {
            keys.load(file, password);
        }
        String alias = keys.aliases().nextElement();
        X509Certificate certificate = (X509Certificate) keys.getCertificate(alias);
        if (!signs) {
            verify(document, certificate.getPublicKey());
            return;
        }
        List<String> prefixes = List.of(arguments).subList(8, arguments.length);
        List<String> ids = List.of(timestamp.getAttributeNS(WSU, "Id"), body.getAttributeNS(WSU, "Id"));
        PrivateKey key = (PrivateKey) keys.getKey(alias, password);
        sign(document, ids, key, certificate, arguments[5], arguments[6], arguments[7], prefixes);
        try (OutputStream file = new FileOutputStream(arguments[2])) {
            TransformerFactory.newInstance().newTransformer().transform(new DOMSource(document), new StreamResult(file));
        }
    }

    private static Document read(String path) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        return factory.newDocumentBuilder().parse(new File(path));
    }

    private static Element identified(Document document, String namespace, String name) {
        Element element = (Element) document.getElementsByTagNameNS(namespace, name).item(0);
        element.setIdAttributeNS(WSU, "Id", true);
        return element;
    }

    private static void sign(Document document, List<String> ids, PrivateKey key, X509Certificate certificate,
            String method, String digest, String kind, List<String> prefixes) throws Exception {
        XMLSignatureFactory factory = XMLSignatureFactory.getInstance("DOM");
        List<Reference> references = new ArrayList<>();
        for (String id : ids) {
            Transform transform = prefixes.isEmpty()
                    ? factory.newTransform(CanonicalizationMethod.EXCLUSIVE, (TransformParameterSpec) null)
                    : factory.newTransform(CanonicalizationMethod.EXCLUSIVE, new ExcC14NParameterSpec(prefixes));
            references.add(factory.newReference(
                    "#" + id, factory.newDigestMethod(digest, null), List.of(transform), null, null));
        }
        C14NMethodParameterSpec listed = prefixes.isEmpty() ? null : new ExcC14NParameterSpec(prefixes);
        SignedInfo info = factory.newSignedInfo(
                factory.newCanonicalizationMethod(CanonicalizationMethod.EXCLUSIVE, listed),
                factory.newSignatureMethod(method, null),
                references);
        Element security = (Element) document.getElementsByTagNameNS(WSSE, "Security").item(0);
        KeyInfo keyInfo = keyInfo(factory.getKeyInfoFactory(), document, security, certificate, kind);
        DOMSignContext context = new DOMSignContext(key, security);
        context.putNamespacePrefix(XMLSignature.XMLNS, "ds");
        context.putNamespacePrefix(CanonicalizationMethod.EXCLUSIVE, "ec");
        factory.newXMLSignature(info, keyInfo).sign(context);
    }

    private static KeyInfo keyInfo(KeyInfoFactory factory, Document document, Element security,
            X509Certificate certificate, String kind) throws Exception {
        XMLStructure content;
        switch (kind) {
            case "certificate":
                content = factory.newX509Data(
                        List.of(certificate.getSubjectX500Principal().getName(), certificate));
                break;
            case "serial":
                content = factory.newX509Data(List.of(factory.newX509IssuerSerial(
                        certificate.getIssuerX500Principal().getName(), certificate.getSerialNumber())));
                break;
            default:
                content = new DOMStructure(token(document, security, certificate));
        }
        return factory.newKeyInfo(List.of(content));
    }

    private static Element token(Document document, Element security, X509Certificate certificate) throws Exception {
        Element token = document.createElementNS(WSSE, "wsse:BinarySecurityToken");
        token.setAttributeNS(WSU, "wsu:Id", "X509-jdk");
        token.setAttribute("ValueType", X509V3);
        token.setAttribute("EncodingType", BASE64);
        token.setTextContent(Base64.getMimeEncoder().encodeToString(certificate.getEncoded()));
        security.insertBefore(token, security.getFirstChild());
        Element reference = document.createElementNS(WSSE, "wsse:Reference");
        reference.setAttribute("URI", "#X509-jdk");
        reference.setAttribute("ValueType", X509V3);
        Element named = document.createElementNS(WSSE, "wsse:SecurityTokenReference");
        named.appendChild(reference);
        return named;
    }

    private static void verify(Document document, PublicKey key) throws Exception {
        Element signature = (Element) document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature").item(0);
        DOMValidateContext context = new DOMValidateContext(key, signature);
        XMLSignature parsed = XMLSignatureFactory.getInstance("DOM").unmarshalXMLSignature(context);
        if (!parsed.validate(context)) {
            System.out.println("invalid");
            return;
        }
        for (Object reference : parsed.getSignedInfo().getReferences()) {
            System.out.println("valid " + ((Reference) reference).getURI());
        }
    }
}
