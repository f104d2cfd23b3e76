BEGIN TRANSACTION;
CREATE TABLE about (
	id INTEGER NOT NULL, 
	ledger TEXT NOT NULL, 
	sandbox BOOLEAN NOT NULL, 
	created_at TEXT NOT NULL, 
	CONSTRAINT pk_about PRIMARY KEY (id), 
	CONSTRAINT ck_about_single CHECK (id = 1)
);
INSERT INTO "about" VALUES(1,'93bebbf571054bbb9525dba5a37ed80a',0,'2026-03-01T12:00:00.000Z');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE detail (
	id INTEGER NOT NULL, 
	comment TEXT NOT NULL, 
	start_date TEXT NOT NULL, 
	remove_date TEXT NOT NULL, 
	metadata TEXT NOT NULL, 
	CONSTRAINT pk_detail PRIMARY KEY (id), 
	CONSTRAINT uq_detail_comment UNIQUE (comment, start_date, remove_date, metadata)
);
INSERT INTO "detail" VALUES(1,'','','','');
INSERT INTO "detail" VALUES(2,'because','','','');
INSERT INTO "detail" VALUES(3,'left','','','');
CREATE TABLE event (
	run TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	at TEXT NOT NULL, 
	request INTEGER, 
	event TEXT NOT NULL, 
	attempt INTEGER, 
	status INTEGER, 
	detail TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (run, number), 
	CONSTRAINT fk_event_request FOREIGN KEY(request) REFERENCES request (id), 
	CONSTRAINT fk_event_run FOREIGN KEY(run) REFERENCES run (id)
)
 WITHOUT ROWID

;
INSERT INTO "event" VALUES('7768e48a9eea',1,'2026-03-01T12:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 1, "requests": 7, "changes": 12}','e8aa6a6f2f39d6ff5afe10aae7033559363d2eb508bc65ff138936aa383e0cd6');
INSERT INTO "event" VALUES('7768e48a9eea',2,'2026-03-01T12:00:00.000Z',1,'claimed',1,NULL,'{"body_sha256": "e8b67a44a94dd1c32c4942d13c04741d1ebbace216c95bb7e9a8a970b5f238c0"}','446e75eeef32dd4a327aa50baef2d71ea3d798cd2b8500a507a53e05f8dedf92');
INSERT INTO "event" VALUES('7768e48a9eea',3,'2026-03-01T12:00:00.000Z',1,'refused',1,400,'{"reason": "the tenant answered 400: Bad item."}','594512ca765b701726b1cac2b5d3c31eca216866879521c9e8d99523608f7c23');
INSERT INTO "event" VALUES('7768e48a9eea',4,'2026-03-01T12:00:00.000Z',1,'taken_over',NULL,NULL,'{"by": [8, 9]}','abef2930ca48c28d7144e5c2319a99ff0f64aafc267bd262358a2220fdc33e60');
INSERT INTO "event" VALUES('7768e48a9eea',5,'2026-03-01T12:00:00.000Z',2,'claimed',1,NULL,'{"body_sha256": "31e5df2c879e8412cbcb5a9999fd860ed36f0248645ee1821db29a8bb09087f3"}','1cb77f0ab749baa796b1f7b6e82437fc8d4e6e0fba29fed2fa4ef6341d9ee8fe');
INSERT INTO "event" VALUES('7768e48a9eea',6,'2026-03-01T12:00:00.000Z',2,'accepted',1,202,'{}','a0069e4722fb61da29ef7a6e0d6ab7e48274332ac9d80a3a9c30d3de15416c13');
INSERT INTO "event" VALUES('7768e48a9eea',7,'2026-03-01T12:00:00.000Z',3,'claimed',1,NULL,'{"body_sha256": "bd80162284cf404d6731296888fd55d524b72da8cdb230b5675379b775cdc3f2"}','de6713fbdca23fb86c05607531158ccf89c9fdcf94f10feaac5766e057a1a5b8');
INSERT INTO "event" VALUES('7768e48a9eea',8,'2026-03-01T12:00:00.000Z',3,'undecided',1,500,'{"reason": "the tenant answered 500"}','b34586225cfe4baab3ae129ea1d1c42f9a44e181cdb0ef1c9a5da3b1316652c3');
INSERT INTO "event" VALUES('7768e48a9eea',9,'2026-03-01T12:00:00.000Z',4,'claimed',1,NULL,'{"body_sha256": "bfb839eed8c5a41d706ea2a9c165801d4df8f6799210a0b420000b708a16d00a"}','0c65e56c829d90fb0a9f0a61ce56efc88fcacb7509a6717989d0b60c796f04a7');
INSERT INTO "event" VALUES('7768e48a9eea',10,'2026-03-01T12:00:00.000Z',4,'not_processed',1,429,'{"reason": "the tenant answered 429"}','ca0c628b4d5b1c901c72f13c5fb48984e3b1dcc2e148933fda6395f53a7ea11e');
INSERT INTO "event" VALUES('7768e48a9eea',11,'2026-03-01T12:00:00.000Z',4,'claimed',2,NULL,'{"body_sha256": "bfb839eed8c5a41d706ea2a9c165801d4df8f6799210a0b420000b708a16d00a"}','04c5c6340200f5dfe740383dd53c690d534cd7ecc7b566d3c9ad4c96500324d8');
INSERT INTO "event" VALUES('7768e48a9eea',12,'2026-03-01T12:00:00.000Z',4,'accepted',2,202,'{}','63dd9e3894eb04b3b1af0dc606c42ec01596eeabf35ccfc18c48bd0e8a1614d2');
INSERT INTO "event" VALUES('7768e48a9eea',13,'2026-03-01T12:00:00.000Z',5,'claimed',1,NULL,'{"body_sha256": "62443cb00ca20c4f24b06e490ff28d4a6efb81b2c5249bb4b1bbb5e252020dd0"}','c5ed7a3fca7ff3bde9ffe2a5e9cd081d7c54a07aa29e4ffc71fd5e5b561b9d4e');
INSERT INTO "event" VALUES('e8237b183310',1,'2026-03-01T12:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 10, "requests": 1, "changes": 1}','976fb32403640ce83760a63a19433cbf0a4661a0aade5295a4dff0179e3ebaa0');
CREATE TABLE holder (
	run TEXT NOT NULL, 
	host TEXT NOT NULL, 
	machine TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started FLOAT NOT NULL, 
	since TEXT NOT NULL, 
	beat TEXT NOT NULL, 
	CONSTRAINT pk_holder PRIMARY KEY (run), 
	CONSTRAINT fk_holder_run FOREIGN KEY(run) REFERENCES run (id)
);
CREATE TABLE identity (
	id INTEGER NOT NULL, 
	tenant INTEGER NOT NULL, 
	external_id TEXT NOT NULL, 
	CONSTRAINT pk_identity PRIMARY KEY (id), 
	CONSTRAINT fk_identity_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_identity_tenant UNIQUE (tenant, external_id)
);
INSERT INTO "identity" VALUES(1,1,'i1');
INSERT INTO "identity" VALUES(2,1,'i2');
INSERT INTO "identity" VALUES(3,1,'i3');
INSERT INTO "identity" VALUES(4,1,'i4');
INSERT INTO "identity" VALUES(5,1,'i5');
INSERT INTO "identity" VALUES(6,1,'s000');
INSERT INTO "identity" VALUES(7,1,'s001');
INSERT INTO "identity" VALUES(8,1,'s002');
INSERT INTO "identity" VALUES(9,1,'s003');
INSERT INTO "identity" VALUES(10,2,'o1');
CREATE TABLE item (
	id INTEGER NOT NULL, 
	tenant INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	CONSTRAINT pk_item PRIMARY KEY (id), 
	CONSTRAINT ck_item_type_known CHECK (type IN ('ACCESS_PROFILE', 'ROLE', 'ENTITLEMENT')), 
	CONSTRAINT fk_item_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_item_tenant UNIQUE (tenant, external_id, type)
);
INSERT INTO "item" VALUES(1,1,'ROLE','r1');
INSERT INTO "item" VALUES(2,1,'ROLE','r2');
INSERT INTO "item" VALUES(3,1,'ROLE','r9');
INSERT INTO "item" VALUES(4,2,'ROLE','r1');
CREATE TABLE recipient (
	identity INTEGER NOT NULL, 
	request INTEGER NOT NULL, 
	CONSTRAINT pk_recipient PRIMARY KEY (identity, request), 
	CONSTRAINT fk_recipient_identity FOREIGN KEY(identity) REFERENCES identity (id), 
	CONSTRAINT fk_recipient_request FOREIGN KEY(request) REFERENCES request (id)
)
 WITHOUT ROWID

;
INSERT INTO "recipient" VALUES(1,1);
INSERT INTO "recipient" VALUES(1,8);
INSERT INTO "recipient" VALUES(2,1);
INSERT INTO "recipient" VALUES(2,9);
INSERT INTO "recipient" VALUES(3,1);
INSERT INTO "recipient" VALUES(3,9);
INSERT INTO "recipient" VALUES(4,2);
INSERT INTO "recipient" VALUES(5,3);
INSERT INTO "recipient" VALUES(6,4);
INSERT INTO "recipient" VALUES(7,5);
INSERT INTO "recipient" VALUES(8,6);
INSERT INTO "recipient" VALUES(9,7);
INSERT INTO "recipient" VALUES(10,10);
CREATE TABLE request (
	id INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	operation TEXT NOT NULL, 
	state TEXT NOT NULL, 
	state_at TEXT NOT NULL, 
	recipient_count INTEGER NOT NULL, 
	item_count INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	parent INTEGER, 
	recipients TEXT NOT NULL, 
	CONSTRAINT pk_request PRIMARY KEY (id), 
	CONSTRAINT ck_request_revoke_of_one CHECK (operation <> 'REVOKE' OR recipient_count = 1), 
	CONSTRAINT ck_request_operation_known CHECK (operation IN ('GRANT', 'REVOKE')), 
	CONSTRAINT ck_request_sent_only_by_an_attempt CHECK (state IN ('PLANNED', 'DISCARDED') OR attempts >= 1 OR parent IS NOT NULL), 
	CONSTRAINT ck_request_state_known CHECK (state IN ('PLANNED', 'SENDING', 'ACCEPTED', 'REFUSED', 'UNCONFIRMED', 'SPLIT', 'DISCARDED')), 
	CONSTRAINT ck_request_not_empty CHECK (recipient_count >= 1 AND item_count >= 1), 
	CONSTRAINT fk_request_parent FOREIGN KEY(parent) REFERENCES request (id), 
	CONSTRAINT fk_request_run FOREIGN KEY(run) REFERENCES run (number)
);
INSERT INTO "request" VALUES(1,1,'GRANT','SPLIT','2026-03-01T12:00:00.000Z',3,2,1,NULL,'1 2 3');
INSERT INTO "request" VALUES(2,1,'GRANT','ACCEPTED','2026-03-01T12:00:00.000Z',1,1,1,NULL,'4');
INSERT INTO "request" VALUES(3,1,'REVOKE','UNCONFIRMED','2026-03-01T12:00:00.000Z',1,1,1,NULL,'5');
INSERT INTO "request" VALUES(4,1,'GRANT','ACCEPTED','2026-03-01T12:00:00.000Z',1,1,2,NULL,'6');
INSERT INTO "request" VALUES(5,1,'GRANT','SENDING','2026-03-01T12:00:00.000Z',1,1,1,NULL,'7');
INSERT INTO "request" VALUES(6,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',1,1,0,NULL,'8');
INSERT INTO "request" VALUES(7,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',1,1,0,NULL,'9');
INSERT INTO "request" VALUES(8,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',1,2,0,1,'1');
INSERT INTO "request" VALUES(9,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',2,2,0,1,'2 3');
INSERT INTO "request" VALUES(10,2,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',1,1,0,NULL,'10');
CREATE TABLE request_item (
	request INTEGER NOT NULL, 
	item INTEGER NOT NULL, 
	detail INTEGER NOT NULL, 
	CONSTRAINT pk_request_item PRIMARY KEY (request, item), 
	CONSTRAINT fk_request_item_detail FOREIGN KEY(detail) REFERENCES detail (id), 
	CONSTRAINT fk_request_item_item FOREIGN KEY(item) REFERENCES item (id), 
	CONSTRAINT fk_request_item_request FOREIGN KEY(request) REFERENCES request (id)
)
 WITHOUT ROWID

;
INSERT INTO "request_item" VALUES(1,1,1);
INSERT INTO "request_item" VALUES(1,2,1);
INSERT INTO "request_item" VALUES(2,1,2);
INSERT INTO "request_item" VALUES(3,3,3);
INSERT INTO "request_item" VALUES(4,1,1);
INSERT INTO "request_item" VALUES(5,1,1);
INSERT INTO "request_item" VALUES(6,1,1);
INSERT INTO "request_item" VALUES(7,1,1);
INSERT INTO "request_item" VALUES(8,1,1);
INSERT INTO "request_item" VALUES(8,2,1);
INSERT INTO "request_item" VALUES(9,1,1);
INSERT INTO "request_item" VALUES(9,2,1);
INSERT INTO "request_item" VALUES(10,4,1);
CREATE TABLE run (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	tenant INTEGER NOT NULL, 
	input_digest TEXT NOT NULL, 
	inputs TEXT NOT NULL, 
	dialect TEXT NOT NULL, 
	started_at TEXT NOT NULL, 
	lower_bound INTEGER NOT NULL, 
	CONSTRAINT pk_run PRIMARY KEY (number), 
	CONSTRAINT fk_run_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_run_id UNIQUE (id), 
	CONSTRAINT uq_run_tenant UNIQUE (tenant, input_digest)
);
INSERT INTO "run" VALUES(1,'7768e48a9eea',1,'digest','["in.csv"]','beta','2026-03-01T12:00:00.000Z',0);
INSERT INTO "run" VALUES(2,'e8237b183310',2,'other','["in.csv"]','beta','2026-03-01T12:00:00.000Z',0);
CREATE TABLE tenant (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_tenant PRIMARY KEY (id), 
	CONSTRAINT uq_tenant_name UNIQUE (name)
);
INSERT INTO "tenant" VALUES(1,'https://tenant.example');
INSERT INTO "tenant" VALUES(2,'https://other.example');
CREATE INDEX ix_request_run ON request (run, state);
CREATE INDEX ix_event_request ON event (request);
CREATE VIEW changes AS
SELECT run.id AS run, request.id AS request, request.operation, identity.external_id AS identity_id,
    item.type AS item_type, item.external_id AS item_id, detail.comment, detail.start_date, detail.remove_date,
    detail.metadata, request.state, request.state_at
FROM request
JOIN run ON run.number = request.run
JOIN recipient ON recipient.request = request.id
JOIN identity ON identity.id = recipient.identity
JOIN request_item ON request_item.request = request.id
JOIN item ON item.id = request_item.item
JOIN detail ON detail.id = request_item.detail;
COMMIT;
