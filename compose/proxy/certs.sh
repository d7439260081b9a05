#!/bin/sh
# Sees to it that /tls holds a certificate: a real one is left alone, our own is made and renewed.
# What somebody else put here is never written over: it stays, or is refused with a sentence.
set -eu
umask 077
cd "${TLS_DIR:-/tls}"
nginx=${TLS_USER:-101}
days=90                     # how long our own certificate lasts,
keep=$((14 * 86400))        # and what is left of them when it is renewed
outlive=$(((days + 14) * 86400)) # no certificate of ours lasts longer than its authority
ca_name='Breakout Bot deployment CA'
extensions='subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid'
name=${SERVER_NAME:-localhost}
with_sub_domains() { for label in '' api. grafana. prometheus.; do printf 'DNS:%s%s, ' "$label" "$1"; done; }
case $name in
localhost | 127.0.0.1) names= ;;
*[!0-9.]*) names=$(with_sub_domains "$name") ;;
*) names="IP Address:$name, " ;;
esac
names="${names}$(with_sub_domains localhost)IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"

say() { echo "certs: $*"; }
refuse() { say "expected $*"; exit 1; }
lasts() { openssl x509 -in "$1" -noout -checkend "$2" >/dev/null 2>&1; }
is_ours() { openssl x509 -in "$1" -noout "-$2" 2>/dev/null | grep -q "$ca_name"; }
ours() { is_ours server.crt issuer; }
our_ca() { [ -s ca.key ] && is_ours ca.crt subject; }
put() { # makes new.crt and new.key the served ones
    chmod 644 new.crt && chmod 400 new.key && chown $nginx:$nginx new.key &&
        mv new.key server.key && mv new.crt server.crt
}
good() {
    [ -s server.key ] && lasts server.crt $keep && openssl verify -CAfile ca.crt server.crt &&
        openssl x509 -in server.crt -noout -ext subjectAltName | grep -qx " *$names"
}
stays_inside() { # certbot's live/ is links to files beside it, which are not in this container
    while [ $# -gt 0 ]; do
        if [ -L "$1" ]; then
            case $(readlink -f "$1" || true) in
            "$(pwd -P)"/*) [ -e "$1" ] ;;
            *) false ;;
            esac || refuse "$1 in the certificate folder to be a file of its own, got a link to" \
                "$(readlink "$1"), which leads out of the folder: copy the file (cp -L) in its place"
        fi
        shift
    done
}
make() { # SUBJECT DAYS EXTENSIONS [options of openssl]: writes new.crt and new.key
    printf "[req]\ndistinguished_name=dn\nx509_extensions=x\n[dn]\n[x]\n$extensions\n$3\n" >new.cnf
    subject=$1 valid=$2
    shift 3
    log=$(openssl req -x509 -config new.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=$subject" -days "$valid" -keyout new.key -out new.crt "$@" 2>&1) || { say "$log"; return 1; }
    rm new.cnf
}
make_ca() {
    make "$ca_name" 3650 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign' &&
        chmod 644 new.crt && mv new.key ca.key && mv new.crt ca.crt
}
make_server() {
    san=$(echo "$names" | sed 's/IP Address:/IP:/g; s/, /,/g')
    make 'Breakout Bot' $days "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth\nsubjectAltName=$san" -CA ca.crt -CAkey ca.key &&
        cat ca.crt >>new.crt && put
}
issued=letsencrypt/live/breakout-bot # where an ACME client keeps what it obtained
is_newer() { [ -s $issued/fullchain.pem ] && ! [ server.crt -nt $issued/fullchain.pem ]; }
keep() { # somebody's: it may be wanted again
    mkdir -p replaced && mv --backup=numbered "$@" replaced/ && say "kept in replaced/: $*"
}
put_issued() {
    [ ! -s server.crt ] || ours || issued_before || keep server.crt server.key
    cat $issued/privkey.pem >new.key && cat $issued/fullchain.pem >new.crt && put &&
        say "put in place what is in $issued"
}
issued_before() { # a certificate that the same client has obtained earlier
    for file in letsencrypt/archive/breakout-bot/fullchain*.pem; do cmp -s "$file" server.crt && return; done
    false
}
aside() { # ca.crt is what clients verify with: not our authority, when another has signed
    is_ours ca.crt subject || return 0
    mkdir -p own && for file in ca.key ca.crt; do [ ! -e $file ] || mv $file own/; done
}
back() { # our authority, where it is set aside; a ca.crt that is somebody's stays
    [ -s own/ca.crt ] || return 0
    [ ! -e ca.crt ] || is_ours ca.crt subject || refuse_ca
    mv own/ca.* .
}
refuse_ca() { refuse "server.crt beside ca.crt, which was not made here, got none: put it there, or remove ca.crt"; }

metrics() { # for Prometheus, through the proxy
    for when in before:start after:end; do
        name=breakout_bot_certificate_not_${when%:*}_seconds
        date=$(openssl x509 -in server.crt -noout "-${when#*:}date" | cut -d= -f2)
        printf '# TYPE %s gauge\n%s %s\n' "$name" "$name" "$(date -d "$date" +%s)"
    done >new.prom
    chmod 644 new.prom && mv new.prom metrics.prom
}

stays_inside server.crt server.key ca.crt ca.key own acme letsencrypt letsencrypt/live letsencrypt/live/*  \
    $issued/fullchain.pem $issued/privkey.pem
chmod 755 . && mkdir -p acme && chmod 755 acme
! is_newer || put_issued
if [ -s server.crt ] && ! ours; then
    say "server.crt was not made here: left alone"
    [ -n "$(find -L server.key \( -uid $nginx -perm -400 \) -o -perm -004)" ] && aside && metrics && exit 0
    say "expected server.key readable by user $nginx; run: chown $nginx server.key (beside server.crt)"
    exit 1
elif [ -s server.crt ] && good >/dev/null 2>&1; then
    say "our own certificate still lasts, for $names"
else
    back
    [ ! -e ca.crt ] || is_ours ca.crt subject || refuse_ca
    if [ -e server.key ] && ! [ -s server.crt ]; then # removed to get a new one, or not there yet
        our_ca || refuse "server.crt beside server.key, got none: put it there, or remove server.key"
        keep server.key
    fi
    { our_ca && lasts ca.crt $outlive; } || make_ca
    make_server
    say "made a certificate for $names; clients trust ca.crt"
fi
metrics
