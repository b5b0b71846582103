CREATE TABLE tips (
	id      bigserial PRIMARY KEY,
	student text   NOT NULL,
	cents   bigint NOT NULL
);
